import assert from "node:assert/strict";
import { test } from "node:test";
import { blend, colourAt, gradientOf, pixelsOf, shadeIndices, shadesOf } from "../../static/player/colour.js";

const STOPS = [[0, "#000000"], [0.5, "#ff0000"], [1, "#ffffff"]];

test("a colour between two stops is their mix, and beyond the ends it is the end", () => {
  assert.deepEqual(colourAt(STOPS, 0.25), [128, 0, 0]);
  assert.deepEqual(colourAt(STOPS, 0.75), [255, 128, 128]);
  assert.deepEqual(colourAt(STOPS, -1), [0, 0, 0]);
  assert.deepEqual(colourAt(STOPS, 2), [255, 255, 255]);
});

test("two stops at one place make a hard edge", () => {
  const sections = [[0, "#111111"], [0.5, "#111111"], [0.5, "#eeeeee"], [1, "#eeeeee"]];
  assert.deepEqual(colourAt(sections, 0.49), [17, 17, 17]);
  assert.deepEqual(colourAt(sections, 0.51), [238, 238, 238]);
});

test("values fall into shades from low to high, and unknown ones into none", () => {
  assert.deepEqual([...shadeIndices([0, 4.9, 5.1, 10, 99, NaN], { low: 0, high: 10 }, 2)], [0, 0, 1, 1, 1, -1]);
  assert.equal(shadesOf(STOPS, 4).length, 4);
});

test("levels become opaque pixels by the scale", () => {
  assert.deepEqual([...pixelsOf([0, 255], STOPS)], [0, 0, 0, 255, 255, 255, 255, 255]);
});

test("a blend and a gradient say what they are given", () => {
  assert.deepEqual(blend([0, 100, 200], [100, 100, 100], 0.5), [50, 100, 150]);
  assert.equal(gradientOf([[0, "#000000"], [1, "#ffffff"]]), "linear-gradient(90deg, #000000 0%, #ffffff 100%)");
});

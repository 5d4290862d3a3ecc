import assert from "node:assert/strict";
import { test } from "node:test";
import { Dots } from "../../static/songmap/dots.js";

const TINT = [200, 100, 40, 10, 20, 30];
const at = (dots, x, y) => [...dots.bytes.slice(4 * ((y + dots.margin) * dots.width + x + dots.margin)).slice(0, 4)];
const blank = (width = 40, height = 30) => {
  const dots = new Dots(width, height);
  dots.wash([255, 255, 255]);
  return dots;
};

test("a dot has its colour inside, its edge's around, and nothing beyond", () => {
  const dots = blank();
  dots.dot(20.1, 15.1, 5, TINT, 1);
  assert.deepEqual(at(dots, 20, 15), [200, 100, 40, 255]);
  assert.deepEqual(at(dots, 24, 15), [10, 20, 30, 255]);
  assert.deepEqual(at(dots, 27, 15), [255, 255, 255, 255]);
});

test("a dot covers as much as a circle of its radius", () => {
  const dots = blank();
  dots.wash([0, 0, 0]);
  dots.dot(20.3, 14.8, 6, [255, 255, 255, 255, 255, 255], 1);
  let covered = 0;
  for (let k = 0; k < dots.bytes.length; k += 4) covered += dots.bytes[k] / 255;
  assert.ok(Math.abs(covered - Math.PI * 36) < 2, String(covered));
});

test("what is half clear lets half of the ground through", () => {
  const dots = blank();
  dots.dot(20.1, 15.1, 5, TINT, 0.5);
  assert.deepEqual(at(dots, 20, 15).map((value) => Math.round(value / 4)), [57, 44, 37, 64]);
});

test("a diamond has corners where a dot has none", () => {
  const [round, cornered] = [blank(), blank()];
  round.dot(20, 15, 6, TINT, 1);
  cornered.dot(20, 15, 6, TINT, 1, true);
  assert.notDeepEqual(at(round, 23, 18), [255, 255, 255, 255]);
  assert.deepEqual(at(cornered, 24, 19), [255, 255, 255, 255]);
  assert.notDeepEqual(at(cornered, 26, 15), [255, 255, 255, 255]);
});

test("a dot at the border does not come in again on the other side", () => {
  const dots = blank();
  dots.dot(39.5, 15, 30, TINT, 1);
  dots.dot(-44, 3, 400, TINT, 1);
  dots.dot(-9000, 1e6, 5, TINT, 1);
  assert.deepEqual(at(dots, 0, 20), [255, 255, 255, 255]);
  assert.deepEqual(at(dots, 39, 15), [200, 100, 40, 255]);
});

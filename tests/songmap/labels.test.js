import assert from "node:assert/strict";
import { test } from "node:test";
import { placed } from "../../static/songmap/labels.js";

const FRAME = { width: 600, height: 300 };
const HOW = { sizeOf: () => 4, lineHeight: 15, widthOf: () => 80 };
const screenOf = (...places) => Float32Array.from(places.flatMap(([x, y]) => [x, y, 1]));
const numbers = (found) => found.map(({ i }) => i);

test("names that have room are all there, beside their dots", () => {
  const found = placed(screenOf([100, 50], [100, 150], [400, 250]), [0, 1, 2], FRAME, HOW);
  assert.deepEqual(numbers(found), [0, 1, 2]);
  assert.ok(found.every(({ left, i }) => left > [100, 100, 400][i] && left < [100, 100, 400][i] + 15));
});

test("at the right border a name stands on the left", () => {
  const [{ left, right }] = placed(screenOf([590, 150]), [0], FRAME, HOW);
  assert.ok(right < 590 && left > 490);
});

test("names hide neither each other nor another's dot", () => {
  let seed = 5;
  const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
  const places = Array.from({ length: 300 }, () => [600 * random(), 300 * random()]);
  const found = placed(screenOf(...places), places.keys(), FRAME, HOW);
  assert.ok(found.length > 3);
  for (const a of found) {
    for (const b of found) assert.ok(a === b || a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top);
    for (const [x, y] of places) assert.ok(!(x > a.left && x < a.right && y > a.top && y < a.bottom));
  }
});

test("who is wanted first gets the room", () => {
  const screen = screenOf([300, 150], [304, 150]);
  const crowded = { ...HOW, widthOf: () => 590 };
  assert.deepEqual(numbers(placed(screen, [0, 1], { ...FRAME, height: 30 }, crowded)), []);
  assert.equal(numbers(placed(screen, [1, 0], FRAME, HOW))[0], 1);
});

test("songs out of view get no name and are not measured", () => {
  const widthOf = () => assert.fail("measured");
  assert.deepEqual(placed(screenOf([-20, 50], [100, 900], [NaN, 5]), [0, 1, 2], FRAME, { ...HOW, widthOf }), []);
});

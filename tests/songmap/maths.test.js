import assert from "node:assert/strict";
import { test } from "node:test";
import * as maths from "../../static/songmap/maths.js";

const near = (found, expected, within = 1e-4) => expected.forEach((value, k) => assert.ok(Math.abs(found[k] - value) < within, `${[...found]} is not ${expected}`));
const lens = { width: 400, height: 300, unit: 100 };
const seen = (points, view, of = lens) => maths.project(Float32Array.from(points), view, of, new Float32Array(points.length));

test("the longest side of a map is from -1 to 1 and nothing is stretched", () => {
  const { points, halves } = maths.framed([10, 14], [1, 2], [5, 5]);
  near(points, [-1, -0.25, 0, 1, 0.25, 0]);
  near(halves, [1, 0.25, 0]);
});

test("one song alone, and none, have a place too", () => {
  near(maths.framed([7], [7], [7]).points, [0, 0, 0]);
  assert.equal(maths.framed([], [], []).points.length, 0);
  assert.ok(Number.isFinite(maths.fit(new Float32Array(3), false, 400, 300)));
});

test("a flat map is seen straight from the front", () => {
  near(seen([1, 0, 0, 0, 1, 0], maths.home(true)), [300, 150, 1, 200, 50, 1]);
});

test("what is nearer is larger and farther from the middle", () => {
  const [front, back] = [seen([0.5, 0, 1], maths.home(true)), seen([0.5, 0, -1], maths.home(true))];
  near(front, [200 + 50 * (4 / 3), 150, 4 / 3]);
  near(back, [200 + 50 * 0.8, 150, 0.8]);
});

test("at home every song is in view, flat and in space", () => {
  const { points } = maths.framed([0, 9, 4, 2], [3, 1, 0, 7], [2, 8, 1, 5]);
  for (const flat of [true, false]) {
    const screen = seen(points, maths.home(flat), { ...lens, unit: maths.fit(points, flat, 400, 300) });
    for (let o = 0; o < screen.length; o += 3) assert.ok(screen[o] > 30 && screen[o] < 370 && screen[o + 1] > 30 && screen[o + 1] < 270);
  }
});

test("zooming keeps what is under the pointer there", () => {
  const view = { ...maths.home(false), panX: 11, panY: -7 };
  const point = [0.3, 0.2, -0.4];
  const [x, y] = seen(point, view);
  near(seen(point, maths.zoomed(view, 3, x, y, lens)), [x, y], 1e-3);
  assert.equal(maths.zoomed(view, 1e9, x, y, lens).zoom, 80);
});

test("turning keeps its pivot where it is and brings the front to where the pointer goes", () => {
  const view = maths.home(false);
  const pivot = [0.5, -0.2, 0.1];
  near(seen(pivot, maths.turned(view, 0.4, 0.2, pivot, lens)), [...seen(pivot, view)].slice(0, 2), 1e-3);
  const front = seen([0, 0, 1], maths.turned(maths.home(true), 0.1, 0.1, [0, 0, 0], lens));
  assert.ok(front[0] > 200 && front[1] > 150);
});

test("the map never turns upside down", () => {
  assert.equal(maths.turned(maths.home(false), 0, 9, [0, 0, 0], lens).pitch, Math.PI / 2);
});

test("far songs are drawn before near ones", () => {
  assert.deepEqual([...maths.fromFarToNear(Float32Array.of(0, 0, 1.3, 0, 0, 0.8, 0, 0, 1), [0.8, 1.4])], [1, 2, 0]);
  assert.deepEqual([...maths.fromFarToNear(Float32Array.of(0, 0, 1, 0, 0, 1), [1, 1])], [0, 1]);
});

test("the nearest song is meant, of two at one place the one in front, and none out of reach", () => {
  const screen = Float32Array.of(10, 10, 1, 50, 50, 0.9, 50, 50, 1.2);
  assert.equal(maths.nearest(screen, 13, 11, 12), 0);
  assert.equal(maths.nearest(screen, 52, 50, 12), 2);
  assert.equal(maths.nearest(screen, 30, 30, 12), -1);
});

test("arrows go to the nearest song in their direction and stay where there is none", () => {
  const screen = Float32Array.of(0, 0, 1, 30, 5, 1, 20, 40, 1, 90, 0, 1);
  assert.equal(maths.towards(screen, 0, [1, 0]), 1);
  assert.equal(maths.towards(screen, 0, [0, 1]), 2);
  assert.equal(maths.towards(screen, 1, [1, 0]), 3);
  assert.equal(maths.towards(screen, 0, [-1, 0]), 0);
});

test("a lasso catches what lies in it, in a bay of it not", () => {
  const bay = [[0, 0], [100, 0], [100, 100], [50, 20], [0, 100]];
  assert.deepEqual(maths.caught(Float32Array.of(10, 50, 1, 50, 60, 1, 50, 10, 1, 200, 10, 1), bay), [0, 2]);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import * as maths from "../../static/player/maths.js";

const CAMERA = { eye: { x: 1.1, y: -0.7, z: 0.6 }, center: { x: 0.1, y: 0, z: -0.05 }, up: { x: 0, y: 0, z: 1 } };
const MATRIX = maths.cameraMatrix(CAMERA, 1.6);
const close = (a, b, tolerance = 1e-9) => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);

test("the camera's centre is the middle of the picture, at its distance", () => {
  const [x, y, depth] = maths.project(MATRIX, 800, 500, 0.1, 0, -0.05, []);
  close(x, 400, 1e-6);
  close(y, 250, 1e-6);
  close(depth, Math.hypot(1, 0.7, 0.65));
});

test("a field of view of 45 degrees puts its edge at the edge of the picture", () => {
  const camera = { eye: { x: 0, y: -2, z: 0 }, center: { x: 0, y: 0, z: 0 }, up: { x: 0, y: 0, z: 1 } };
  const [x, y] = maths.project(maths.cameraMatrix(camera, 1), 600, 600, 0, 0, 2 * Math.tan(Math.PI / 8), []);
  close(x, 300, 1e-6);
  close(y, 0, 1e-6);
});

test("a matrix times its inverse changes nothing, and a flat one has none", () => {
  const product = maths.multiply(MATRIX, maths.invert(MATRIX));
  product.forEach((value, i) => close(value, i % 5 ? 0 : 1, 1e-8));
  assert.equal(maths.invert(new Float64Array(16)), null);
});

test("a point on the plane through the centre comes back from its pixel", () => {
  const centre = [0, 0, 0];
  const found = maths.unproject(MATRIX, 800, 500, 310, 170, centre);
  const [x, y, depth] = maths.project(MATRIX, 800, 500, ...found, []);
  close(x, 310, 1e-6);
  close(y, 170, 1e-6);
  close(depth, maths.project(MATRIX, 800, 500, ...centre, [])[2], 1e-6);
});

test("a moment between uneven points lies between them by their times", () => {
  const times = [1, 1.5, 3.5, 4];
  assert.equal(maths.indexAt(times, 1.25), 0.5);
  assert.equal(maths.indexAt(times, 2), 1.25);
  assert.equal(maths.indexAt(times, 3.5), 2);
});

test("before the first point and after the last one a moment rests there", () => {
  assert.equal(maths.indexAt([1, 2, 3], 0.2), 0);
  assert.equal(maths.indexAt([1, 2, 3], 9), 2);
  assert.equal(maths.indexAt([1, 2, 3], NaN), 0);
  assert.equal(maths.indexAt([], 1), 0);
});

test("the point between two points is a straight mix of them", () => {
  assert.deepEqual(maths.pointAt([0, 0, 0, 2, 4, 8], 0.25, []), [0.5, 1, 2]);
  assert.deepEqual(maths.pointAt([0, 0, 0, 2, 4, 8], 1, []), [2, 4, 8]);
});

test("a box's longest side becomes -1 to 1 and no axis is stretched", () => {
  const bounds = maths.boundsOf([[0, 10, 5], [4, 12, 5]]);
  assert.deepEqual(bounds, { centre: [2, 11, 5], sides: [2, 1, 0], half: 2 });
  assert.deepEqual([...maths.within([0, 10, 5, 4, 12, 5], bounds)], [-1, -0.5, 0, 1, 0.5, 0]);
  assert.deepEqual(maths.outOf([1, 0.5, 0], bounds), [4, 12, 5]);
});

test("a simplified path keeps its ends, its order and its shape within the limit", () => {
  const points = Float32Array.from({ length: 3 * 20000 }, (_, i) => [Math.cos, Math.sin, (a) => a / 100][i % 3](Math.floor(i / 3) / 1000));
  const kept = maths.simplify(points, 1000);
  assert.ok(kept.length <= 1000 && kept.length > 300);
  assert.equal(kept[0], 0);
  assert.equal(kept.at(-1), 19999);
  assert.ok(kept.every((value, i) => i === 0 || value > kept[i - 1]));
  assert.deepEqual([...maths.simplify(points.slice(0, 12), 1000)], [0, 1, 2, 3]);
});

test("the nearest point is the one drawn there, the front one of two, and none too far away", () => {
  const [x, y] = maths.project(MATRIX, 800, 500, 0.2, 0.1, 0, []);
  const eye = [CAMERA.eye.x, CAMERA.eye.y, CAMERA.eye.z];
  const behind = [0.2, 0.1, 0].map((value, k) => value + 0.3 * (value - eye[k]));
  const points = [...behind, 0.2, 0.1, 0, -0.4, -0.4, 0.4];
  assert.equal(maths.nearest(MATRIX, 800, 500, points, x + 3, y, 14), 1);
  assert.equal(maths.nearest(MATRIX, 800, 500, points, x + 30, y + 200, 14), -1);
});

test("a fitted camera just sees every corner", () => {
  const corners = maths.cornersOf([1, 0.4, 0.1]);
  for (const aspect of [0.7, 1, 2.4]) {
    const camera = maths.fitted([1, -1.25, 0.6], corners, aspect, 0.4, 0.9);
    const matrix = maths.cameraMatrix(camera, aspect);
    const reach = Math.max(...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => {
      const [x, y] = maths.project(matrix, 2, 2, ...corners.slice(3 * i, 3 * i + 3).map((value) => value * 0.4), []);
      return Math.max(Math.abs(x - 1), Math.abs(y - 1));
    }));
    close(reach, 0.9, 1e-4);
  }
});

test("a turned camera keeps its height and distance; a raised one its distance, short of the pole", () => {
  const turned = maths.turned(CAMERA, Math.PI / 2);
  close(turned.eye.x, 0.1 + 0.7);
  close(turned.eye.y, 1);
  assert.equal(turned.eye.z, 0.6);
  const raised = maths.moved(CAMERA, { raise: 9 });
  close(Math.hypot(raised.eye.x - 0.1, raised.eye.y, raised.eye.z + 0.05), Math.hypot(1, 0.7, 0.65));
  assert.ok(Math.hypot(raised.eye.x - 0.1, raised.eye.y) > 0.01);
});

test("a clock text never runs ahead of its moment", () => {
  assert.equal(maths.clockText(83.459), "1:23.45");
  assert.equal(maths.clockText(0), "0:00.00");
  assert.equal(maths.clockText(59.999), "0:59.99");
  assert.equal(maths.clockText(0.29), "0:00.29");
  assert.equal(maths.clockText(-1), "0:00.00");
});

test("easing starts at rest, ends at rest and is half way in the middle", () => {
  assert.deepEqual([maths.ease(0), maths.ease(0.5), maths.ease(1)], [0, 0.5, 1]);
  assert.ok(maths.ease(0.1) < 0.02);
});

test("a moment's next return is a period on, and round the song at its end", () => {
  const size = 81; // 20 s of a loop of 5 s, four cells a second
  const levels = new Uint8Array(size * size);
  for (let row = 0; row < size; row++) for (let column = 0; column < size; column++) levels[row * size + column] = 250 - 12 * Math.abs((((column - row + 210) % 20) + 20) % 20 - 10);
  const plot = { levels, size, low: 1, high: 21 };
  assert.equal(maths.nextReturn(plot, 3), 8);
  assert.equal(maths.nextReturn(plot, 8), 13);
  assert.ok(Math.abs(maths.nextReturn(plot, 19.5) - 4.5) < 1e-9);
});

test("what never returns has no return", () => {
  const size = 20;
  const levels = Uint8Array.from({ length: size * size }, (_, i) => (i % (size + 1) ? 0 : 255));
  assert.equal(maths.nextReturn({ levels, size, low: 0, high: 10 }, 5), null);
});

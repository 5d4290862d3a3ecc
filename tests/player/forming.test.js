import assert from "node:assert/strict";
import { test } from "node:test";
import { Passage, Replay, shapeAt } from "../../static/player/forming.js";
import { percentile, Statistics } from "../../static/player/statistics.js";

const SHAPES = [[0, 0, 0], [1, 2, 4], [3, 2, 0]];

test("a shape between two snapshots is a straight mix of them", () => {
  assert.deepEqual([...shapeAt(SHAPES, 0.25)], [0.5, 1, 2]);
  assert.deepEqual([...shapeAt(SHAPES, 0.5)], [1, 2, 4]);
  assert.deepEqual([...shapeAt(SHAPES, 1)], [3, 2, 0]);
  assert.deepEqual([...shapeAt(SHAPES, 7)], [3, 2, 0]);
});

test("a replay starts over from its end, goes on by the clock and ends whole", () => {
  const replay = new Replay({ shapes: SHAPES, steps: [0, 10, 20] });
  assert.ok(replay.whole);
  replay.toggle();
  assert.equal(replay.share, 0);
  replay.advance(100);
  replay.advance(101);
  assert.ok(Math.abs(replay.share - 1 / 7) < 1e-9);
  replay.advance(200);
  assert.ok(replay.whole && !replay.playing);
});

test("scrubbing a replay stops it where it is put", () => {
  const replay = new Replay({ shapes: SHAPES, steps: [0, 10, 20] });
  replay.toggle();
  replay.seek(0.5);
  assert.equal(replay.advance(5), false);
  assert.deepEqual([...replay.shape()], [1, 2, 4]);
});

test("a passage goes from the shape that was shown to the new one and is done", () => {
  const passage = new Passage([0, 0, 0], [2, 2, 2], 10, 0.4);
  assert.deepEqual([...passage.points(10)], [0, 0, 0]);
  assert.deepEqual([...passage.points(10.2)].map((value) => Math.round(value * 1e6) / 1e6), [1, 1, 1]);
  assert.equal(passage.done, false);
  assert.deepEqual([...passage.points(10.5)], [2, 2, 2]);
  assert.ok(passage.done);
});

test("statistics count a frame's own work and what it set off", () => {
  const statistics = new Statistics();
  for (let i = 0; i < 100; i++) {
    if (i === 50) statistics.add(7);
    statistics.frame(i * 20, 1);
  }
  const { fps, median, worst } = statistics.summary();
  assert.deepEqual([fps, median, worst], [50, 1, 8]);
  assert.equal(percentile([3, 1, 2], 0.5), 2);
});

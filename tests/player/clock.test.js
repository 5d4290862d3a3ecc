import assert from "node:assert/strict";
import { test } from "node:test";
import { ClockFilter, SilentSound, course, nextLoop, stepped, withEnd } from "../../static/player/clock.js";

/** A browser's clock that moves only every `grain` seconds, read at 60 frames a second. */
function errorsOf(grain, rate) {
  const filter = new ClockFilter();
  filter.reset(0);
  const errors = [];
  for (let frame = 0; frame < 600; frame++) {
    const wall = frame / 60;
    const truth = wall * rate;
    const reading = Math.floor(truth / grain) * grain;
    const shown = filter.read(reading, wall, rate);
    if (wall > 1) errors.push(Math.abs(shown - truth));
  }
  return errors.sort((a, b) => a - b);
}

test("a clock of 23 ms grain is followed within 10 ms, at any speed", () => {
  for (const rate of [0.25, 1, 2]) assert.ok(errorsOf(0.023, rate)[Math.floor(0.95 * 540)] < 0.01, `at ${rate}`);
});

test("a fine clock is followed within a tenth of a millisecond", () => {
  assert.ok(errorsOf(1e-5, 1).at(-1) < 1e-4);
});

test("while a clock settles after a seek its own reading is shown", () => {
  const filter = new ClockFilter();
  filter.reset(10);
  assert.equal(filter.read(3, 10.05, 1), 3);
  assert.equal(filter.read(3, 10.14, 1), 3);
});

test("a jump beyond 120 ms is followed at once", () => {
  const filter = new ClockFilter();
  filter.reset(0);
  for (let frame = 20; frame < 60; frame++) filter.read(frame / 60, frame / 60, 1);
  assert.ok(Math.abs(filter.read(9, 1, 1) - 9) < 1e-9);
});

test("a silent clock keeps time through pauses, seeks and speeds", () => {
  let wall = 100;
  const silent = new SilentSound(() => wall);
  assert.equal(silent.currentTime, 0);
  silent.play();
  wall += 2;
  assert.equal(silent.currentTime, 2);
  silent.playbackRate = 0.5;
  wall += 2;
  assert.equal(silent.currentTime, 3);
  silent.pause();
  wall += 5;
  assert.equal(silent.currentTime, 3);
  silent.currentTime = 7;
  silent.play();
  wall += 4;
  assert.equal(silent.currentTime, 9);
});

test("playing turns back at a loop's end and stops at the song's", () => {
  assert.deepEqual(course(5, [2, 5], [0, 30]), { seek: 2 });
  assert.equal(course(4.9, [2, 5], [0, 30]), null);
  assert.deepEqual(course(30, null, [0, 30]), { stop: 30 });
  assert.deepEqual(course(3, null, [10, 30]), { seek: 10 });
});

test("a loop's ends change places when crossed, and a tiny loop is none", () => {
  assert.deepEqual(withEnd(null, 0, 4, [0, 30]), [4, 30]);
  assert.deepEqual(withEnd([4, 30], 1, 2, [0, 30]), [2, 4]);
  assert.equal(withEnd([4, 8], 1, 4.01, [0, 30]), null);
});

test("one key sets a loop's start, then its end, then clears it", () => {
  const span = [0, 30];
  const started = nextLoop(null, 4, span);
  assert.deepEqual(started, [4, 30]);
  const whole = nextLoop(started, 9, span);
  assert.deepEqual(whole, [4, 9]);
  assert.equal(nextLoop(whole, 12, span), null);
});

test("a step goes to the next point before or after this moment and rests at the ends", () => {
  const times = [1, 2, 4, 8];
  assert.equal(stepped(times, 2, 1), 4);
  assert.equal(stepped(times, 2, -1), 1);
  assert.equal(stepped(times, 3, 1), 4);
  assert.equal(stepped(times, 3, -1), 2);
  assert.equal(stepped(times, 9, 1), 8);
  assert.equal(stepped(times, 0, -1), 1);
});

// What time it is in the song: a filter over a coarse clock, a clock for silent playing, and where a loop sends it. No DOM.

const SETTLE_SECONDS = 0.15; // a browser's clock stands still for about 0.1 s after play or seek
const SNAP_SECONDS = 0.12;

/** A smooth clock from readings of a coarse one. A reading that has just changed is never ahead of the truth, so the filter goes up fast and down slowly. */
export class ClockFilter {
  constructor() {
    this.reset(0);
  }

  reset(wallSeconds) {
    this.offset = null;
    this.last = null;
    this.rate = null;
    this.settledAt = wallSeconds + SETTLE_SECONDS;
  }

  read(reading, wallSeconds, rate) {
    if (wallSeconds < this.settledAt) return reading;
    const elapsed = wallSeconds * rate;
    if (this.offset === null || this.rate !== rate) {
      [this.offset, this.rate, this.last] = [reading - elapsed, rate, reading];
      return reading;
    }
    if (reading !== this.last) {
      const error = reading - elapsed - this.offset;
      this.offset += Math.abs(error) > SNAP_SECONDS ? error : error * (error > 0 ? 0.5 : 0.02);
      this.last = reading;
    }
    return this.offset + elapsed;
  }
}

/** Plays nothing, but keeps time like an audio element: what runs when there is no sound. */
export class SilentSound {
  constructor(wallSeconds) {
    this.wall = wallSeconds;
    this.paused = true;
    this.rate = 1;
    this.from = 0;
    this.since = 0;
  }

  get currentTime() {
    return this.paused ? this.from : this.from + (this.wall() - this.since) * this.rate;
  }

  set currentTime(seconds) {
    [this.from, this.since] = [seconds, this.wall()];
  }

  get playbackRate() {
    return this.rate;
  }

  set playbackRate(rate) {
    this.currentTime = this.currentTime;
    this.rate = rate;
  }

  play() {
    [this.since, this.paused] = [this.paused ? this.wall() : this.since, this.paused ? false : this.paused];
    return Promise.resolve();
  }

  pause() {
    [this.from, this.paused] = [this.currentTime, true];
  }
}

/** Where playing must go from here: {seek} into a loop, {stop} at the end, or null to go on. */
export function course(time, loop, [start, stop]) {
  if (loop && time >= loop[1]) return { seek: loop[0] };
  if (time >= stop) return { stop };
  if (time < start) return { seek: start };
  return null;
}

/** A loop with one end set anew: ends change places where they are crossed, and one shorter than 50 ms is none. */
export function withEnd(loop, end, time, [start, stop]) {
  const ends = loop ? [...loop] : [start, stop];
  ends[end] = time;
  ends.sort((a, b) => a - b);
  return ends[1] - ends[0] < 0.05 ? null : ends;
}

/** What one key makes of a loop: set its start, then its end, then clear it. */
export function nextLoop(loop, time, span) {
  if (!loop) return withEnd(null, 0, time, span);
  return loop[1] === span[1] ? withEnd(loop, 1, time, span) : null;
}

/** The moment `steps` points of the path away from this one, never the same. */
export function stepped(times, time, steps) {
  if (!times.length) return time;
  const tolerance = 1e-4;
  let at = 0;
  if (steps > 0) while (at < times.length && times[at] <= time + tolerance) at++;
  else {
    at = times.length - 1;
    while (at >= 0 && times[at] >= time - tolerance) at--;
  }
  return times[Math.min(times.length - 1, Math.max(0, at + (steps > 0 ? steps - 1 : steps + 1)))];
}

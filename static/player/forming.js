// Shapes on their way into other shapes: the replay of a forming, and the passage from one live snapshot to the next. No DOM.

import { clamp, ease, mix } from "./maths.js";

const REPLAY_SECONDS = 7;

/** The shape at a share of the way through snapshots that follow each other evenly. */
export function shapeAt(shapes, share, out = new Float32Array(shapes[0].length)) {
  const place = clamp(share, 0, 1) * (shapes.length - 1);
  const low = Math.floor(place);
  const [from, to] = [shapes[low], shapes[Math.min(low + 1, shapes.length - 1)]];
  for (let i = 0; i < out.length; i++) out[i] = mix(from[i], to[i], place - low);
  return out;
}

/** A replay that stands at `share` 1 when the shape is whole. */
export class Replay {
  constructor(forming) {
    this.forming = forming;
    this.share = 1;
    this.playing = false;
    this.at = null;
  }

  get whole() {
    return this.share >= 1;
  }

  toggle() {
    if (!this.playing && this.whole) this.share = 0;
    this.playing = !this.playing;
    this.at = null;
  }

  seek(share) {
    [this.share, this.playing] = [clamp(share, 0, 1), false];
  }

  /** Goes on by the time since the last call; true where the shape has changed. */
  advance(wallSeconds) {
    if (!this.playing) return false;
    const before = this.share;
    this.share = Math.min(1, this.share + (this.at === null ? 0 : (wallSeconds - this.at) / REPLAY_SECONDS));
    this.at = wallSeconds;
    if (this.whole) this.playing = false;
    return this.share !== before || this.whole;
  }

  shape() {
    return shapeAt(this.forming.shapes, this.share);
  }
}

/** From what is shown to a new snapshot, in about the time in which the next one comes. */
export class Passage {
  constructor(from, to, wallSeconds, seconds) {
    Object.assign(this, { from, to, since: wallSeconds, seconds: clamp(seconds, 0.12, 0.8) });
  }

  points(wallSeconds) {
    const share = clamp((wallSeconds - this.since) / this.seconds, 0, 1);
    this.done = share >= 1;
    return shapeAt([this.from, this.to], ease(share));
  }
}

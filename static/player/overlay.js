// What moves over a scene: the played part of the path, the comet and its tail, what of a forecast has come, and marks.
// Two canvases: the played part changes a few times a second, the comet every frame.

import { cssOf, rgbOf, shadeIndices } from "./colour.js";
import { clockText, indexAt, pointAt, project, simplify } from "./maths.js";
import { pixelRatio } from "./scene.js";
import { SHADES, nearness, palette, placed, sorted, stroke } from "./strokes.js";

const TAIL_SECONDS = 0.9;
const TAIL_POINTS = 44; // at most about so many are drawn of it
const APPEND_SECONDS = 0.4; // how often the played part grows; the tail covers what is still missing
const SETTLE_SECONDS = 0.15; // a camera that stood still for so long gets every point again
const MOVING_POINTS = 1600; // what is drawn of a path while the camera moves
const WARM = [255, 176, 84];
const HEAD = 46; // pixels, the glow's whole width

export class Overlay {
  constructor(host) {
    [this.still, this.live] = [0, 1].map(() => {
      const canvas = document.createElement("canvas");
      canvas.className = "overlay";
      canvas.setAttribute("aria-hidden", "true");
      host.append(canvas);
      return canvas;
    });
    this.contexts = { still: this.still.getContext("2d"), live: this.live.getContext("2d") };
    this.glow = glowSprite();
    this.lines = [];
    this.head = null;
    this.matrix = null;
    this.resize(host);
  }

  resize(host) {
    [this.width, this.height] = [host.clientWidth, host.clientHeight];
    const ratio = pixelRatio();
    [this.still.width, this.still.height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    this.contexts.still.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.stale = true;
  }

  setColouring(colouring) {
    this.colouring = colouring;
    this.styles = palette(colouring.stops);
  }

  /** The path that the comet rides: points in the scene's places, their times, the values that colour them. */
  setPath(path) {
    this.path = path;
    this.shades = shadeIndices(path.values, this.colouring, SHADES);
    this.every = Uint32Array.from({ length: path.times.length }, (_, i) => i);
    this.few = simplify(path.points, MOVING_POINTS);
    this.places = new Float32Array(3 * path.times.length);
    this.stale = true;
  }

  /** The same path, moved: what a shape that is forming does every frame. */
  setPoints(points) {
    this.path = { ...this.path, points };
    this.stale = true;
  }

  /** Draws what this moment needs. `all` shows the whole path bright, `comet` is false while the shape itself is moving. */
  draw(matrix, time, wallSeconds, { all, comet, marks }) {
    if (!matrix || !this.path) return;
    const moved = !this.matrix || matrix.some((value, i) => value !== this.matrix[i]);
    this.matrix = matrix;
    const index = indexAt(this.path.times, time);
    const until = all ? this.path.times.length - 1 : Math.floor(index);
    if (moved) this.settleAt = wallSeconds + SETTLE_SECONDS;
    this.drawPlayed(until, wallSeconds, moved);
    this.drawMoving(index, time, comet, marks);
  }

  drawPlayed(until, wallSeconds, moved) {
    const settled = this.coarse && !moved && wallSeconds >= this.settleAt;
    if (moved || this.stale || settled || until < this.until) {
      this.coarse = this.few.length < this.every.length && wallSeconds < this.settleAt;
      this.order = this.coarse ? this.few : this.every;
      placed(this.path.points, this.order, this.matrix, this.width, this.height, this.places);
      this.contexts.still.clearRect(0, 0, this.width, this.height);
      this.strokeFrom(0, until);
      [this.until, this.stale, this.appendedAt] = [until, false, wallSeconds];
    } else if (until > this.until && wallSeconds >= this.appendedAt + APPEND_SECONDS) {
      this.strokeFrom(this.placeOf(this.until), until);
      [this.until, this.appendedAt] = [until, wallSeconds];
    }
  }

  /** Whether a picture of every point is still to come. */
  get unsettled() {
    return Boolean(this.coarse);
  }

  strokeFrom(first, until) {
    const last = this.placeOf(until);
    if (last > first) stroke(this.contexts.still, this.places, sorted(this.places, this.shades, this.order, first, last), this.styles);
  }

  /** The place in the drawing order of the last point up to `index`. */
  placeOf(index) {
    return this.order === this.every ? index : Math.floor(indexAt(this.order, index));
  }

  drawMoving(index, time, comet, marks) {
    const { live } = this.contexts;
    this.head = this.screen(pointAt(this.path.points, index, [0, 0, 0]));
    const tail = comet ? this.tail(index, time) : [];
    const come = this.lines.filter((line) => time >= line.times[0]);
    const everywhere = come.length || marks.length;
    this.frame(live, everywhere ? [0, 0, this.width, this.height] : areaAround(tail, this.width, this.height));
    for (const line of come) this.drawCome(live, line, time);
    if (comet) this.drawComet(live, tail);
    for (const mark of marks) this.drawMark(live, mark);
  }

  /** Puts the moving canvas over an area of the scene, empty: what is copied every frame is no larger than it must be. */
  frame(context, [x, y, width, height]) {
    const ratio = pixelRatio();
    const fits = (has, needs) => has >= needs && has <= 2 * needs;
    if (!fits(this.live.width, width * ratio) || !fits(this.live.height, height * ratio)) {
      [this.live.width, this.live.height] = [Math.ceil(width * ratio), Math.ceil(height * ratio)];
      Object.assign(this.live.style, { width: `${this.live.width / ratio}px`, height: `${this.live.height / ratio}px` });
    }
    this.live.style.transform = `translate(${x}px, ${y}px)`;
    context.setTransform(ratio, 0, 0, ratio, -x * ratio, -y * ratio);
    context.clearRect(x, y, this.live.width, this.live.height);
  }

  screen(point) {
    return project(this.matrix, this.width, this.height, ...point, [0, 0, 0]);
  }

  /** A forecast or the truth: bright as far as the song has come, with a bead at its tip. */
  drawCome(context, line, time) {
    const tip = indexAt(line.times, time);
    const colour = cssOf(rgbOf(line.colour));
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = line.kind === "truth" ? 2.6 : 2.2;
    context.setLineDash(line.kind === "forecast" ? [7, 4] : []);
    context.beginPath();
    for (let i = 0; i <= tip; i++) context.lineTo(...this.screen(line.points.subarray(3 * i, 3 * i + 3)).slice(0, 2));
    const [x, y] = this.screen(pointAt(line.points, tip, [0, 0, 0]));
    context.lineTo(x, y);
    context.stroke();
    context.setLineDash([]);
    disc(context, x, y, 4);
  }

  /** The places of the last moments on the screen, each with its share of life left; the head is the last. */
  tail(index, time) {
    const { times, points } = this.path;
    const first = Math.ceil(indexAt(times, time - TAIL_SECONDS));
    const step = Math.max(1, Math.ceil((index - first) / TAIL_POINTS));
    const places = [];
    for (let i = Math.ceil(first / step) * step; i <= index; i += step) {
      const [x, y] = this.screen(points.subarray(3 * i, 3 * i + 3));
      places.push([x, y, Math.max(0, 1 - (time - times[i]) / TAIL_SECONDS)]);
    }
    return [...places, [this.head[0], this.head[1], 1]];
  }

  drawComet(context, tail) {
    context.lineCap = "butt"; // round ends would add up to beads
    context.globalCompositeOperation = "lighter";
    for (let k = 1; k < tail.length; k++) this.drawTail(context, tail[k - 1], tail[k], tail[k][2]);
    const size = HEAD * (0.8 + 0.4 * nearness(this.head[2], this.matrix[15]));
    context.drawImage(this.glow, this.head[0] - size / 2, this.head[1] - size / 2, size, size);
    context.globalCompositeOperation = "source-over";
  }

  drawTail(context, from, to, share) {
    for (const [width, alpha, colour] of [[10 * share + 2, 0.16 * share, WARM], [2.4 * share + 0.8, share * share, [255, 232, 196]]]) {
      context.strokeStyle = cssOf(colour, alpha.toFixed(3));
      context.lineWidth = width;
      context.beginPath();
      context.moveTo(from[0], from[1]);
      context.lineTo(to[0], to[1]);
      context.stroke();
    }
  }

  /** A moment that is pointed at: a ring and its time; a picked point of space: a small cross. */
  drawMark(context, { time, point, text }) {
    const [x, y] = this.screen(point ?? pointAt(this.path.points, indexAt(this.path.times, time), [0, 0, 0]));
    context.strokeStyle = "#ffffff";
    context.lineWidth = 1.5;
    context.beginPath();
    if (point) for (const [a, b] of [[1, 0], [0, 1]]) [context.moveTo(x - 8 * a, y - 8 * b), context.lineTo(x + 8 * a, y + 8 * b)];
    else context.arc(x, y, 7, 0, 2 * Math.PI);
    context.stroke();
    label(context, text ?? clockText(time), x + 12, y - 10, this.width);
  }
}

/** The part of the scene that holds these places and the comet's glow. */
function areaAround(places, width, height) {
  if (!places.length) return [0, 0, 1, 1];
  const [left, top] = [0, 1].map((k) => Math.max(0, Math.floor(places.reduce((least, place) => Math.min(least, place[k]), Infinity) - HEAD)));
  const sizes = [left, top].map((low, k) => {
    const most = places.reduce((most, place) => Math.max(most, place[k]), -Infinity) + HEAD;
    return Math.max(1, 1.2 * (Math.min(most, k ? height : width) - low));
  });
  return [left, top, ...sizes];
}

function disc(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function label(context, text, x, y, width) {
  context.font = "600 12px system-ui, sans-serif";
  const length = context.measureText(text).width;
  const left = Math.min(x, width - length - 10);
  context.fillStyle = "rgba(11, 11, 18, 0.78)";
  context.fillRect(left - 5, y - 13, length + 10, 18);
  context.fillStyle = "#ffffff";
  context.fillText(text, left, y);
}

/** The comet's head, drawn once: a white core in a warm glow. */
function glowSprite() {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 2 * HEAD;
  const context = canvas.getContext("2d");
  const light = context.createRadialGradient(HEAD, HEAD, 0, HEAD, HEAD, HEAD);
  for (const [at, colour, alpha] of [[0, [255, 255, 255], 1], [0.16, [255, 250, 238], 1], [0.22, [255, 205, 130], 0.7], [0.45, WARM, 0.28], [1, WARM, 0]]) {
    light.addColorStop(at, cssOf(colour, alpha));
  }
  context.fillStyle = light;
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

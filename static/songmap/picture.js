// The map's two canvases: dots, which change with the view, and what lies over them (names, the ring, the lasso).

import { Dots } from "./dots.js";
import { clamp, mix } from "./maths.js";

const FONT_PIXELS = 12;
const WIDEST = 190; // pixels of a name
const DIM = 0.2; // of a dot that is not among the chosen
const BRIGHT = 0.85; // of a chosen one, however far
const FAR = 0.5; // of a dot at the back
const FULL = 0.94; // of one in front: what it covers shows a little
const EDGE = 0.25; // of the ink in a dot's edge
const BOX_STEP = 0.025; // of half of the longest side, between the points of the box
const RATIO = 2; // pixels of a picture for one of the page, at most
const CORNERS = [-1, 1].flatMap((x) => [-1, 1].flatMap((y) => [-1, 1].map((z) => [x, y, z])));
const EDGES = CORNERS.flatMap((a, i) => CORNERS.slice(i + 1).filter((b) => a.filter((value, k) => value !== b[k]).length === 1).map((b) => [a, b]));

/** Points along the edges of the box around the songs. */
export function boxPoints(halves) {
  const along = (a, b, share) => a.map((value, k) => halves[k] * mix(value, b[k], share));
  const steps = ([a, b]) => Math.ceil((2 * halves[a.findIndex((value, k) => value !== b[k])]) / BOX_STEP);
  const edge = (ends) => Array.from({ length: steps(ends) }, (_, i) => along(...ends, i / steps(ends))).flat();
  return Float32Array.from(EDGES.flatMap(edge));
}

export class Picture {
  constructor(host) {
    [this.host, this.names] = [host, new Map()];
    [this.dots, this.marks] = [".dots", ".marks"].map((name) => host.querySelector(name));
    this.lower = this.dots.getContext("2d", { alpha: false });
    this.upper = this.marks.getContext("2d");
  }

  /** Takes the size and the colours that the page has now. */
  resize(land) {
    const ratio = (this.ratio = Math.min(RATIO, window.devicePixelRatio || 1));
    [this.width, this.height] = [this.host.clientWidth, this.host.clientHeight];
    const [width, height] = [this.width, this.height].map((size) => Math.max(1, Math.round(size * ratio)));
    if (width !== this.dots.width || height !== this.dots.height || !this.pixels) {
      for (const canvas of [this.dots, this.marks]) [canvas.width, canvas.height] = [width, height];
      this.pixels = new Dots(width, height);
      this.image = new ImageData(this.pixels.bytes, this.pixels.width);
    }
    const style = getComputedStyle(this.host);
    [this.ground, this.ink] = [rgbOf(style.backgroundColor), rgbOf(style.color)];
    this.font = `500 ${FONT_PIXELS}px ${style.fontFamily}`;
    this.names.clear();
    this.tint(land);
  }

  tint({ songs, colours }) {
    this.tints = colours.map((colour, i) => [...colour, ...(songs[i].own ? this.ink : mixed(colour, this.ink, EDGE))].map(Math.round));
  }

  drawDots({ songs }, screen, order, { sizeOf, near, chosen, box }) {
    const { pixels, ratio, ground, ink, tints } = this;
    const line = [...ink, ...ink];
    pixels.wash(ground);
    for (let o = 0; o < box.length; o += 3) pixels.dot(box[o] * ratio, box[o + 1] * ratio, 0.5 * ratio, line, 0.24 * depth(box[o + 2], near));
    for (const i of order) {
      const alpha = depth(screen[3 * i + 2], near);
      const shown = !chosen ? alpha : chosen[i] ? Math.max(alpha, BRIGHT) : DIM * alpha;
      pixels.dot(screen[3 * i] * ratio, screen[3 * i + 1] * ratio, sizeOf(i) * ratio, tints[i], shown, songs[i].own);
    }
    this.lower.putImageData(this.image, -pixels.margin, -pixels.margin);
  }

  drawMarks({ names, songs, ring, line, accent }) {
    const { upper: ctx, ratio } = this;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, this.marks.width, this.marks.height);
    for (const { i, left, top } of names) {
      const { picture } = this.name(songs[i]);
      ctx.drawImage(picture, Math.round((left - 3) * ratio), Math.round((top - 2) * ratio));
    }
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (ring) this.drawRing(ring);
    if (line) this.drawLasso(line, accent);
  }

  drawRing({ x, y, radius }) {
    const { upper: ctx } = this;
    for (const [width, colour] of [[5, this.ground], [2, this.ink]]) {
      ctx.beginPath();
      ctx.arc(x, y, radius + 3.5, 0, 2 * Math.PI);
      [ctx.lineWidth, ctx.strokeStyle] = [width, css(colour)];
      ctx.stroke();
    }
  }

  drawLasso(line, accent) {
    const { upper: ctx } = this;
    ctx.beginPath();
    for (const [x, y] of line) ctx.lineTo(x, y);
    ctx.closePath();
    [ctx.fillStyle, ctx.strokeStyle, ctx.lineWidth] = [accent, accent, 1.5];
    ctx.globalAlpha = 0.12;
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.stroke();
  }

  /** A song's name as it is drawn, cut where it is too wide; made once, for text with a halo takes long to draw. */
  name({ id, label }) {
    let name = this.names.get(id);
    if (!name) this.names.set(id, (name = this.cut(label)));
    name.picture ??= this.drawName(name);
    return name;
  }

  /** Pixels of a song's name. */
  widthOf({ id, label }) {
    if (!this.names.has(id)) this.names.set(id, this.cut(label));
    return this.names.get(id).width;
  }

  cut(label) {
    this.upper.font = this.font;
    const measure = (text) => this.upper.measureText(text).width;
    const letters = [...label].slice(0, 120);
    if (letters.length === [...label].length && measure(label) <= WIDEST) return { text: label, width: measure(label) };
    let [low, high] = [0, letters.length];
    const first = (count) => `${letters.slice(0, count).join("").trimEnd()}…`;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (measure(first(middle)) <= WIDEST) low = middle;
      else high = middle - 1;
    }
    return { text: first(low), width: measure(first(low)) };
  }

  drawName({ text, width }) {
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [(width + 6) * this.ratio, (this.lineHeight + 4) * this.ratio].map(Math.ceil);
    const ctx = picture.getContext("2d");
    ctx.scale(this.ratio, this.ratio);
    [ctx.font, ctx.textBaseline, ctx.lineWidth, ctx.lineJoin] = [this.font, "middle", 3.5, "round"];
    [ctx.strokeStyle, ctx.fillStyle] = [css(this.ground), css(this.ink)];
    ctx.strokeText(text, 3, this.lineHeight / 2 + 2);
    ctx.fillText(text, 3, this.lineHeight / 2 + 2);
    return picture;
  }

  get lineHeight() {
    return FONT_PIXELS + 3;
  }
}

const depth = (nearness, [low, high]) => (low < high ? mix(FAR, FULL, clamp((nearness - low) / (high - low), 0, 1)) : FULL);
const mixed = (a, b, share) => a.map((value, k) => mix(value, b[k], share));
const css = (rgb) => `rgb(${rgb.join(" ")})`;

/** Any colour that a page can name, as it is drawn. */
function rgbOf(colour) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [1, 1];
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = colour;
  ctx.fillRect(0, 0, 1, 1);
  return [...ctx.getImageData(0, 0, 1, 1).data.slice(0, 3)];
}

// Colours from numbers: stops of a scale, tables of ready strings. No DOM.

import { clamp, mix } from "./maths.js";

export const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
export const blend = (a, b, share) => a.map((value, k) => Math.round(mix(value, b[k], share)));
export const cssOf = (rgb, alpha = 1) => `rgba(${rgb.join(",")},${alpha})`;

/** The colour of a scale at a share of its length; two stops at one place make a hard edge. */
export function colourAt(stops, share) {
  if (!(share > stops[0][0])) return rgbOf(stops[0][1]);
  for (let i = 1; i < stops.length; i++) {
    const [low, high] = [stops[i - 1], stops[i]];
    if (share < high[0]) return blend(rgbOf(low[1]), rgbOf(high[1]), (share - low[0]) / (high[0] - low[0]));
  }
  return rgbOf(stops.at(-1)[1]);
}

/** `shades` colours of a scale from end to end. */
export const shadesOf = (stops, shades) => Array.from({ length: shades }, (_, i) => colourAt(stops, (i + 0.5) / shades));

/** The number of the shade for each value; a value that is not known gets -1. */
export function shadeIndices(values, { low, high }, shades) {
  const width = high - low || 1;
  return Int16Array.from(values, (value) => (Number.isNaN(value) ? -1 : clamp(Math.floor(((value - low) / width) * shades), 0, shades - 1)));
}

export const gradientOf = (stops) => `linear-gradient(90deg, ${stops.map(([at, hex]) => `${hex} ${at * 100}%`).join(", ")})`;

/** Levels 0 to 255 -> opaque pixels in four bytes each, by a scale. */
export function pixelsOf(levels, stops) {
  const table = new Uint32Array(256);
  const bytes = new Uint8Array(table.buffer);
  for (let i = 0; i < 256; i++) bytes.set([...colourAt(stops, i / 255), 255], 4 * i);
  const pixels = new Uint32Array(levels.length);
  for (let i = 0; i < levels.length; i++) pixels[i] = table[levels[i]];
  return new Uint8ClampedArray(pixels.buffer);
}

// Long coloured lines on a canvas, far ones first, thin and dim: sorted into few strokes, since a canvas pays by the stroke.

import { blend, cssOf, shadesOf } from "./colour.js";
import { clamp, mix, project } from "./maths.js";

export const SHADES = 32;
const DEPTHS = 6;
const REACH = 0.45; // of the scene's cube, before and behind its middle
const WIDTHS = [1.5, 3.3]; // pixels, far and near
const DIMMED = 0.5; // how much of the dark a far line takes on
const DARK = [11, 11, 18];
const UNKNOWN = [150, 152, 165]; // where there is no value to colour by

/** Ready stroke styles, by depth and shade; the last shade of each is for what has no value. */
export function palette(stops) {
  const shades = [...shadesOf(stops, SHADES), UNKNOWN];
  return Array.from({ length: DEPTHS }, (_, depth) => shades.map((rgb) => cssOf(blend(rgb, DARK, DIMMED * (1 - depth / (DEPTHS - 1))))));
}

/** Where each listed point is on the screen: flat [x, y, depth bucket], in the order of the list. */
export function placed(points, order, matrix, width, height, out) {
  const at = [0, 0, 0];
  const middle = matrix[15];
  for (let k = 0; k < order.length; k++) {
    const i = order[k];
    project(matrix, width, height, points[3 * i], points[3 * i + 1], points[3 * i + 2], at);
    out[3 * k] = at[0];
    out[3 * k + 1] = at[1];
    out[3 * k + 2] = depthOf(at[2], middle);
  }
  return out;
}

function depthOf(w, middle) {
  const share = (middle + REACH - w) / (2 * REACH);
  return clamp(Math.floor(share * DEPTHS), 0, DEPTHS - 1);
}

/** The width of a line at a depth given as w, before it is put into a bucket. */
export const nearness = (w, middle) => clamp((middle + REACH - w) / (2 * REACH), 0, 1);

/** Segments from place `first` to place `last` in drawing order: far before near, like shades together. */
export function sorted(places, shades, order, first, last) {
  const buckets = Array.from({ length: DEPTHS * (SHADES + 1) }, () => []);
  for (let k = first; k < last; k++) {
    const shade = shades[order[k]];
    buckets[places[3 * k + 2] * (SHADES + 1) + (shade < 0 ? SHADES : shade)].push(k);
  }
  return buckets;
}

export function stroke(context, places, buckets, styles) {
  context.lineCap = "round";
  context.lineJoin = "round";
  buckets.forEach((segments, bucket) => {
    if (!segments.length) return;
    const depth = Math.floor(bucket / (SHADES + 1));
    context.strokeStyle = styles[depth][bucket % (SHADES + 1)];
    context.lineWidth = mix(WIDTHS[0], WIDTHS[1], depth / (DEPTHS - 1));
    context.beginPath();
    let end = -1;
    for (const k of segments) {
      if (k !== end) context.moveTo(places[3 * k], places[3 * k + 1]);
      context.lineTo(places[3 * k + 3], places[3 * k + 4]);
      end = k + 1;
    }
    context.stroke();
  });
}

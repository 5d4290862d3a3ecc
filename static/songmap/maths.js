// Where songs are on the screen, and which of them a pointer, an arrow key or a lasso means. Plain numbers, no DOM.

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
export const mix = (from, to, share) => from + (to - from) * share;

const DISTANCE = 4; // of the eye from the middle, where 1 is half of the map's longest side
const MARGIN = 34; // pixels that stay free around the whole map
const DEPTHS = 64; // steps that dots are ordered by from far to near
const MOST_PIXELS = 14; // from the middle of a dot to its edge
const DEEP = 1.6; // how much more than perspective does the back makes small
const ZOOM = { least: 0.5, most: 80 };

/** Coordinates around their middle, the longest side from -1 to 1, and how far they reach. */
export function framed(x, y, z) {
  const axes = [x, y, z].map((values) => {
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
    return values.length ? { middle: (low + high) / 2, half: (high - low) / 2 } : { middle: 0, half: 0 };
  });
  const longest = Math.max(...axes.map((axis) => axis.half)) || 1;
  const points = new Float32Array(3 * x.length);
  let radius = 0;
  for (let i = 0; i < x.length; i++) {
    const point = [x[i], y[i], z[i]].map((value, k) => (value - axes[k].middle) / longest);
    points.set(point, 3 * i);
    radius = Math.max(radius, Math.hypot(...point));
  }
  return { points, halves: axes.map((axis) => axis.half / longest), radius };
}

/** The view from which the whole map is seen. */
export const home = (flat) => ({ ...(flat ? { yaw: 0, pitch: 0 } : { yaw: 0.6, pitch: 0.35 }), zoom: 1, panX: 0, panY: 0 });

/** Pixels for one unit of length where all points are in view from there. */
export function fit(points, flat, width, height) {
  const screen = project(points, home(flat), { width: 0, height: 0, unit: 1 }, new Float32Array(points.length));
  let [across, up] = [0, 0];
  for (let o = 0; o < screen.length; o += 3) [across, up] = [Math.max(across, Math.abs(screen[o])), Math.max(up, Math.abs(screen[o + 1]))];
  return Math.min(Math.max(40, width / 2 - MARGIN) / (across || 1), Math.max(40, height / 2 - MARGIN) / (up || 1));
}

/** Each point's pixel across, pixel down, and how near it is (1 in the middle), in `out`. A flat map is space with all z 0. */
export function project(points, view, { width, height, unit }, out) {
  const [cosYaw, sinYaw, cosPitch, sinPitch] = [Math.cos(view.yaw), Math.sin(view.yaw), Math.cos(view.pitch), Math.sin(view.pitch)];
  const [middleX, middleY, scale] = [width / 2 + view.panX, height / 2 + view.panY, unit * view.zoom];
  for (let o = 0; o < points.length; o += 3) {
    const [x, y, z] = [points[o], points[o + 1], points[o + 2]];
    const across = x * cosYaw + z * sinYaw;
    const away = z * cosYaw - x * sinYaw;
    const near = DISTANCE / (DISTANCE - y * sinPitch - away * cosPitch);
    out[o] = middleX + scale * near * across;
    out[o + 1] = middleY - scale * near * (y * cosPitch - away * sinPitch);
    out[o + 2] = near;
  }
  return out;
}

/** How much nearer or farther than the middle a point of a map that reaches so far can be. */
export const nearRange = (radius) => [DISTANCE / (DISTANCE + radius), DISTANCE / (DISTANCE - radius)];

/** The numbers of all points from far to near. */
export function fromFarToNear(screen, [low, high]) {
  const count = screen.length / 3;
  const depth = (i) => clamp(Math.floor(((screen[3 * i + 2] - low) / (high - low || 1)) * DEPTHS), 0, DEPTHS - 1);
  const starts = new Uint32Array(DEPTHS + 1);
  for (let i = 0; i < count; i++) starts[depth(i) + 1]++;
  for (let k = 0; k < DEPTHS; k++) starts[k + 1] += starts[k];
  const order = new Uint32Array(count);
  for (let i = 0; i < count; i++) order[starts[depth(i)]++] = i;
  return order;
}

/** The view after zooming so that what is under a pixel stays there. */
export function zoomed(view, factor, x, y, { width, height }) {
  const zoom = clamp(view.zoom * factor, ZOOM.least, ZOOM.most);
  const real = zoom / view.zoom;
  const [fromX, fromY] = [x - width / 2, y - height / 2];
  return { ...view, zoom, panX: fromX - (fromX - view.panX) * real, panY: fromY - (fromY - view.panY) * real };
}

/** The view after turning so that the point `pivot` stays at its pixel. */
export function turned(view, yaw, pitch, pivot, frame) {
  const next = { ...view, yaw: view.yaw + yaw, pitch: clamp(view.pitch + pitch, -Math.PI / 2, Math.PI / 2) };
  const [before, after] = [view, next].map((one) => project(pivot, one, frame, [0, 0, 0]));
  return { ...next, panX: view.panX + before[0] - after[0], panY: view.panY + before[1] - after[1] };
}

/** The point nearest to a pixel, and of those at one distance the one in front; -1 where none is within reach. */
export function nearest(screen, x, y, reach = Infinity) {
  let [best, found] = [reach, -1];
  for (let i = 0, o = 0; o < screen.length; i++, o += 3) {
    const distance = Math.hypot(screen[o] - x, screen[o + 1] - y);
    if (distance > reach) continue;
    const cost = distance - 2 * (screen[o + 2] - 1);
    if (cost < best || found < 0) [best, found] = [cost, i];
  }
  return found;
}

/** The point nearest to another one within 45 degrees of a direction; itself where there is none. */
export function towards(screen, from, [right, down]) {
  let [best, found] = [Infinity, from];
  for (let i = 0, o = 0; o < screen.length; i++, o += 3) {
    const [x, y] = [screen[o] - screen[3 * from], screen[o + 1] - screen[3 * from + 1]];
    const along = x * right + y * down;
    const distance = Math.hypot(x, y);
    if (along > 0 && along >= distance * Math.SQRT1_2 - 1e-6 && distance < best) [best, found] = [distance, i];
  }
  return found;
}

/** Whether a pixel lies in a closed line of pixels [x, y]. */
export function inside(line, x, y) {
  let within = false;
  for (let i = 0, j = line.length - 1; i < line.length; j = i++) {
    const [[ax, ay], [bx, by]] = [line[i], line[j]];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
  }
  return within;
}

/** The numbers of the points in a lasso. */
export function caught(screen, line) {
  const found = [];
  for (let i = 0, o = 0; o < screen.length; i++, o += 3) if (inside(line, screen[o], screen[o + 1])) found.push(i);
  return found;
}

/** Pixels from the middle of a dot to its edge: few songs get large ones. */
export const dotRadius = (count, { width, height }, zoom) => clamp(0.09 * Math.sqrt((width * height) / Math.max(1, count)), 2.4, 6.5) * clamp(zoom, 1, 12) ** 0.22;

export const dotSize = (radius, near, own) => Math.min(MOST_PIXELS, radius * near ** DEEP) * (own ? 1.5 : 1);

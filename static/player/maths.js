// Pure geometry for the player: projections, places on a path, bounds, picking. No DOM, no Plotly.
// Matrices are column-major arrays of 16 numbers, as WebGL keeps them. Points are flat: x0, y0, z0, x1, ...

const FIELD_OF_VIEW = Math.PI / 4; // Plotly's own, with its near and far planes
const NEAR = 0.01;
const FAR = 1000;
const APART_SECONDS = 1.25; // what lies nearer is the moment itself
const NEARLY = 0.8; // of the brightest return

export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
export const mix = (a, b, share) => a + (b - a) * share;
export const ease = (share) => (share < 0.5 ? 4 * share ** 3 : 1 - (-2 * share + 2) ** 3 / 2);

export function multiply(a, b) {
  const product = new Float64Array(16);
  for (let column = 0; column < 4; column++) {
    for (let row = 0; row < 4; row++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += a[4 * k + row] * b[4 * column + k];
      product[4 * column + row] = sum;
    }
  }
  return product;
}

/** Gauss-Jordan with pivots; null where the matrix cannot be inverted. */
export function invert(matrix) {
  const rows = [0, 1, 2, 3].map((r) => [0, 1, 2, 3].map((c) => matrix[4 * c + r]).concat([0, 1, 2, 3].map((c) => +(c === r))));
  for (let column = 0; column < 4; column++) {
    let pivot = column;
    for (let r = column + 1; r < 4; r++) if (Math.abs(rows[r][column]) > Math.abs(rows[pivot][column])) pivot = r;
    if (Math.abs(rows[pivot][column]) < 1e-14) return null;
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    const scale = rows[column][column];
    rows[column] = rows[column].map((value) => value / scale);
    for (let r = 0; r < 4; r++) {
      if (r === column) continue;
      const factor = rows[r][column];
      rows[r] = rows[r].map((value, k) => value - factor * rows[column][k]);
    }
  }
  return Float64Array.from({ length: 16 }, (_, i) => rows[i % 4][4 + Math.floor(i / 4)]);
}

/** What Plotly's public camera sees of a scene whose cube has sides of 1: the contract that its hidden matrices must keep. */
export function cameraMatrix({ eye, center, up }, aspect) {
  const e = [eye.x, eye.y, eye.z];
  const back = unit([eye.x - center.x, eye.y - center.y, eye.z - center.z]);
  const right = unit(cross([up.x, up.y, up.z], back));
  const above = cross(back, right);
  const view = [];
  for (let k = 0; k < 3; k++) view.push(right[k], above[k], back[k], 0);
  view.push(-dot(right, e), -dot(above, e), -dot(back, e), 1);
  const f = 1 / Math.tan(FIELD_OF_VIEW / 2);
  const depth = 1 / (NEAR - FAR);
  const projection = [f / aspect, 0, 0, 0, 0, f, 0, 0, 0, 0, (FAR + NEAR) * depth, -1, 0, 0, 2 * FAR * NEAR * depth, 0];
  return multiply(projection, view);
}

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
function unit(a) {
  const length = Math.hypot(...a) || 1;
  return a.map((value) => value / length);
}

/** A place in space -> [x in pixels, y in pixels, depth]; depth grows away from the eye. */
export function project(m, width, height, x, y, z, out) {
  const w = m[3] * x + m[7] * y + m[11] * z + m[15];
  out[0] = (0.5 + (0.5 * (m[0] * x + m[4] * y + m[8] * z + m[12])) / w) * width;
  out[1] = (0.5 - (0.5 * (m[1] * x + m[5] * y + m[9] * z + m[13])) / w) * height;
  out[2] = w;
  return out;
}

/** The place under a pixel on the plane through `centre` that faces the camera; null for a camera that sees nothing. */
export function unproject(matrix, width, height, px, py, centre) {
  const inverse = invert(matrix);
  if (!inverse) return null;
  const ndc = [(2 * px) / width - 1, 1 - (2 * py) / height];
  const at = (depth) => {
    const h = [0, 1, 2, 3].map((r) => inverse[r] * ndc[0] + inverse[4 + r] * ndc[1] + inverse[8 + r] * depth + inverse[12 + r]);
    return h.slice(0, 3).map((value) => value / h[3]);
  };
  const depthOf = (p) => matrix[3] * p[0] + matrix[7] * p[1] + matrix[11] * p[2] + matrix[15];
  const [near, far] = [at(-1), at(0.5)];
  const share = (depthOf(centre) - depthOf(near)) / (depthOf(far) - depthOf(near));
  return near.map((value, k) => mix(value, far[k], share));
}

/** The place of a moment among rising times, as a whole index plus a share; it rests at the ends. */
export function indexAt(times, time) {
  const last = times.length - 1;
  if (last < 0 || !(time > times[0])) return 0;
  if (time >= times[last]) return last;
  let low = 0;
  let high = last;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle;
    else high = middle;
  }
  return low + (time - times[low]) / (times[high] - times[low]);
}

/** The point between two points of a path. */
export function pointAt(points, index, out) {
  const low = Math.floor(index);
  const high = Math.min(low + 1, points.length / 3 - 1);
  for (let k = 0; k < 3; k++) out[k] = mix(points[3 * low + k], points[3 * high + k], index - low);
  return out;
}

/** Bounds of many flat point arrays: the middle, the half of each side, and the largest half. */
export function boundsOf(arrays) {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (const points of arrays) {
    for (let i = 0; i < points.length; i++) {
      if (points[i] < low[i % 3]) low[i % 3] = points[i];
      if (points[i] > high[i % 3]) high[i % 3] = points[i];
    }
  }
  if (low[0] > high[0]) return { centre: [0, 0, 0], sides: [1, 1, 1], half: 1 };
  const sides = low.map((value, k) => (high[k] - value) / 2);
  return { centre: low.map((value, k) => (value + high[k]) / 2), sides, half: Math.max(...sides) || 1 };
}

/** Points as seen from a bounds' middle, its longest side from -1 to 1; no axis is stretched. */
export function within(points, { centre, half }) {
  return Float32Array.from(points, (value, i) => (value - centre[i % 3]) / half);
}

export const outOf = (point, { centre, half }) => point.map((value, k) => value * half + centre[k]);

/** Indices that keep a path's shape with at most `limit` points: steps shorter than a growing length are left out. */
export function simplify(points, limit) {
  const count = points.length / 3;
  if (count <= limit) return Uint32Array.from({ length: count }, (_, i) => i);
  for (let length = 0.004; ; length *= 1.4) {
    const kept = [0];
    for (let i = 1, k = 0; i < count; i++) {
      if (Math.hypot(points[3 * i] - points[3 * k], points[3 * i + 1] - points[3 * k + 1], points[3 * i + 2] - points[3 * k + 2]) < length) continue;
      kept.push(i);
      k = i;
    }
    if (kept.at(-1) !== count - 1) kept.push(count - 1);
    if (kept.length <= limit) return Uint32Array.from(kept);
  }
}

/** The point drawn nearest to a pixel, the one in front where two are equally near; -1 beyond `radius` pixels. */
export function nearest(matrix, width, height, points, px, py, radius) {
  const at = [0, 0, 0];
  let best = -1;
  let least = radius;
  let front = Infinity;
  for (let i = 0; i < points.length / 3; i++) {
    project(matrix, width, height, points[3 * i], points[3 * i + 1], points[3 * i + 2], at);
    const distance = Math.hypot(at[0] - px, at[1] - py);
    if (distance > radius || distance > least + 0.5 || (distance > least - 0.5 && at[2] >= front)) continue;
    [best, least, front] = [i, Math.min(distance, least), at[2]];
  }
  return best;
}

/** The corners of a box around the middle, flat. */
export function cornersOf(sides) {
  return Array.from({ length: 8 }, (_, i) => sides.map((side, k) => ((i >> k) & 1 ? side : -side))).flat();
}

/** The camera on a line from the middle that is just far enough to see all corners within `share` of the picture. */
export function fitted(direction, corners, aspect, scale, share = 0.97) {
  const toward = unit(direction);
  const at = [0, 0, 0];
  const cameraAt = (length) => ({ eye: { x: toward[0] * length, y: toward[1] * length, z: toward[2] * length }, center: { x: 0, y: 0, z: 0 }, up: { x: 0, y: 0, z: 1 } });
  const sees = (length) => {
    const matrix = cameraMatrix(cameraAt(length), aspect);
    for (let i = 0; i < corners.length; i += 3) {
      project(matrix, 2, 2, corners[i] * scale, corners[i + 1] * scale, corners[i + 2] * scale, at);
      if (at[2] <= NEAR || Math.abs(at[0] - 1) > share || Math.abs(at[1] - 1) > share) return false;
    }
    return true;
  };
  let [low, high] = [0.05, 20];
  for (let i = 0; i < 30; i++) {
    const middle = (low + high) / 2;
    if (sees(middle)) high = middle;
    else low = middle;
  }
  return cameraAt(high);
}

/** The camera turned about the upright axis through its centre. */
export function turned(camera, angle) {
  const [x, y] = [camera.eye.x - camera.center.x, camera.eye.y - camera.center.y];
  const [c, s] = [Math.cos(angle), Math.sin(angle)];
  return { ...camera, eye: { x: camera.center.x + c * x - s * y, y: camera.center.y + s * x + c * y, z: camera.eye.z } };
}

/** The camera raised about its centre (short of the poles) and moved nearer or farther. */
export function moved(camera, { raise = 0, nearer = 1 }) {
  const offset = ["x", "y", "z"].map((k) => camera.eye[k] - camera.center[k]);
  const length = clamp(Math.hypot(...offset) * nearer, 0.3, 8);
  const flat = Math.atan2(offset[1], offset[0]);
  const height = clamp(Math.asin(clamp(offset[2] / (Math.hypot(...offset) || 1), -1, 1)) + raise, -1.5, 1.5);
  const step = [Math.cos(height) * Math.cos(flat), Math.cos(height) * Math.sin(flat), Math.sin(height)].map((value) => value * length);
  return { ...camera, eye: { x: camera.center.x + step[0], y: camera.center.y + step[1], z: camera.center.z + step[2] } };
}

/** 83.456 -> "1:23.45": cut, never rounded up into a moment that has not come. */
/** The next moment, round the song, at which a row of a recurrence plot peaks nearly as brightly as it does anywhere but at itself. */
export function nextReturn({ levels, size, low, high }, time) {
  const cells = (size - 1) / (high - low || 1);
  const row = clamp(Math.round((time - low) * cells), 0, size - 1);
  const level = (column) => (column < 0 || column >= size || Math.abs(column - row) < APART_SECONDS * cells ? 0 : levels[row * size + column]);
  const brightest = Math.max(...Array.from({ length: size }, (_, column) => level(column)));
  for (let on = 1; on < size; on++) {
    const column = (row + on) % size;
    const here = level(column);
    if (here && here >= NEARLY * brightest && here >= level(column - 1) && here > level(column + 1)) return low + column / cells;
  }
  return null;
}

export function clockText(seconds) {
  const hundredths = Math.floor(Math.max(0, seconds) * 100 + 1e-6);
  const rest = String(Math.floor(hundredths / 100) % 60).padStart(2, "0");
  return `${Math.floor(hundredths / 6000)}:${rest}.${String(hundredths % 100).padStart(2, "0")}`;
}

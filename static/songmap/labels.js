// Which songs get their name on the map, and where: as many as fit without hiding anything. No DOM.

const CELL = 6; // pixels of the grid that dots are counted in
const TRIED = 1500; // songs in view; of more the later ones stay without a name
const MOST = 70; // names; more are no map any more
const GAP = 2; // pixels between a dot and its name

/** How many dots are in each cell of a grid over the map. */
export function crowd(screen, { width, height }) {
  const [columns, rows] = [Math.ceil(width / CELL) || 1, Math.ceil(height / CELL) || 1];
  const counts = new Uint16Array(columns * rows);
  for (let o = 0; o < screen.length; o += 3) {
    const [column, row] = [Math.floor(screen[o] / CELL), Math.floor(screen[o + 1] / CELL)];
    if (column >= 0 && row >= 0 && column < columns && row < rows) counts[row * columns + column]++;
  }
  return { counts, columns, rows };
}

function free({ counts, columns, rows }, { left, top, right, bottom }) {
  const [first, last, lowest] = [Math.max(0, Math.floor(left / CELL)), Math.min(columns - 1, Math.floor(right / CELL)), Math.min(rows - 1, Math.floor(bottom / CELL))];
  for (let row = Math.max(0, Math.floor(top / CELL)); row <= lowest; row++)
    for (let at = row * columns + first; at <= row * columns + last; at++) if (counts[at]) return false;
  return true;
}

const apart = (a, b) => a.right < b.left || b.right < a.left || a.bottom < b.top || b.bottom < a.top;

/** The places for a name beside, above and below its dot, best first. */
function sides(x, y, width, height, beside) {
  const box = (left, top) => ({ left, top, right: left + width, bottom: top + height });
  const level = y - height / 2;
  return [box(x + beside, level), box(x - beside - width, level), box(x - width / 2, y - beside - height + 2), box(x - width / 2, y + beside - 2)];
}

/** Boxes {i, left, top, right, bottom} of names, the first of `wanted` first, that hide neither each other nor dots. */
export function placed(screen, wanted, { width, height }, { sizeOf, lineHeight, widthOf }) {
  const grid = crowd(screen, { width, height });
  const found = [];
  const seen = ({ left, top, right, bottom }) => left >= 2 && top >= 2 && right <= width - 2 && bottom <= height - 2;
  let tried = 0;
  for (const i of wanted) {
    if (found.length >= MOST || tried >= TRIED) break;
    const [x, y] = [screen[3 * i], screen[3 * i + 1]];
    if (!(x >= 0 && y >= 0 && x <= width && y <= height)) continue;
    tried++;
    const beside = sizeOf(i) + GAP + CELL / 2;
    if (!sides(x, y, CELL, lineHeight, beside).some((side) => free(grid, side))) continue; // in a crowd: its name need not be measured
    const box = sides(x, y, widthOf(i), lineHeight, beside).find((side) => seen(side) && free(grid, side) && found.every((other) => apart(side, other)));
    if (box) found.push({ i, ...box });
  }
  return found;
}

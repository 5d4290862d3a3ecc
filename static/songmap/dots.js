// Dots into pixels, with soft edges: where a canvas draws in software, three times as fast as its own circles are filled.

const PARTS = 4; // of a pixel, in which sizes and places are told apart
const SLANT = 0.82; // of a diamond's sides, so that it looks as large as a dot
const KEPT = 1_000_000; // pixels of stamps, before all are made anew
const LARGEST = 44; // pixels from the middle of a dot to its edge

const packed = (tint, at) => (tint[at] | (tint[at + 1] << 8) | (tint[at + 2] << 16)) >>> 0;

export class Dots {
  constructor(width, height) {
    this.margin = 2 * LARGEST + 2; // a dot that is half in the picture has its other edge so far out
    [this.width, this.height] = [width + 2 * this.margin, height + 2 * this.margin];
    this.bytes = new Uint8ClampedArray(4 * this.width * this.height);
    this.words = new Uint32Array(this.bytes.buffer);
    this.forget();
  }

  forget() {
    [this.stamps, this.kept] = [new Map(), 0];
  }

  /** Covers all with one opaque colour. */
  wash(colour) {
    this.words.fill((packed(colour, 0) | 0xff000000) >>> 0);
  }

  /** One dot of a tint: red, green, blue, and the same of its outermost pixel. `corners` makes it a diamond. No arrays are made here: it runs 300,000 times a second. */
  dot(x, y, radius, tint, alpha, corners = false) {
    const column = Math.floor(x);
    const row = Math.floor(y);
    const { margin, words } = this;
    if (Math.min(column, row) < -LARGEST || column > this.width - 2 * margin + LARGEST || row > this.height - 2 * margin + LARGEST) return;
    const size = Math.round(Math.min(LARGEST, radius) * PARTS);
    const { places, shares, inner } = this.stamp(size, Math.floor((x - column) * PARTS), Math.floor((y - row) * PARTS), corners);
    const start = (row + margin) * this.width + column + margin;
    const whole = Math.round(256 * alpha);
    for (let k = 0, colour = packed(tint, 0); k < places.length; k++) {
      if (k === inner) colour = packed(tint, 3);
      const share = (shares[k] * whole) >> 8;
      const rest = 256 - share;
      const at = start + places[k];
      const under = words[at]; // red and blue are mixed in one number, with room between them
      const redBlue = (((colour & 0xff00ff) * share + (under & 0xff00ff) * rest) >>> 8) & 0xff00ff;
      const green = (((colour & 0xff00) * share + (under & 0xff00) * rest) >>> 8) & 0xff00;
      words[at] = 0xff000000 | redBlue | green;
    }
  }

  /** Which pixels a dot covers and by how many 256ths, those inside before those of its edge; made once for each size and part of a pixel. */
  stamp(size, partX, partY, corners) {
    const key = (((size * PARTS + partX) * PARTS + partY) << 1) | Number(corners);
    const known = this.stamps.get(key);
    if (known) return known;
    const [radius, middleX, middleY] = [size / PARTS, (partX + 0.5) / PARTS, (partY + 0.5) / PARTS];
    const cells = [];
    const reach = Math.ceil(radius + 1);
    for (let row = -reach; row <= reach; row++)
      for (let column = -reach; column <= reach; column++) {
        const [across, down] = [Math.abs(column + 0.5 - middleX), Math.abs(row + 0.5 - middleY)];
        const distance = corners ? (across + down) * SLANT : Math.hypot(across, down);
        if (distance < radius + 0.5) cells.push({ place: row * this.width + column, share: Math.round(256 * Math.min(1, radius + 0.5 - distance)), edge: distance > radius - 1 });
      }
    cells.sort((a, b) => a.edge - b.edge);
    const of = (name) => Int32Array.from(cells, (cell) => cell[name]);
    const made = { places: of("place"), shares: of("share"), inner: cells.filter((cell) => !cell.edge).length };
    if ((this.kept += cells.length) > KEPT) this.forget();
    this.stamps.set(key, made);
    return made;
  }
}

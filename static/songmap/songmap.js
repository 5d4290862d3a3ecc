// The map: takes what Python sends, draws when something has changed, and tells Python what was lassoed or opened.

import { Hearing } from "./hearing.js";
import { actionFor } from "./keys.js";
import { placed } from "./labels.js";
import { caught, clamp, dotRadius, dotSize, fit, fromFarToNear, home, mix, nearRange, nearest, project, towards, turned, zoomed } from "./maths.js";
import { readSongs } from "./payload.js";
import { Picture, boxPoints } from "./picture.js";
import { watch } from "./pointers.js";
import { Words } from "./words.js";

const REACH = { mouse: 12, touch: 26 }; // pixels from a dot within which it is meant
const TURN = 0.008; // radians for a pixel of a drag
const KEY_PIXELS = 15; // of a drag that an arrow key with Shift stands for
const HOME_MS = 260;
const MOVE_MS = 700; // songs on their way from one map's places to another's
const CLEAR = 48; // pixels from the border that a song reached by keys is kept away

export class Songmap {
  constructor(box) {
    this.box = box;
    this.host = box.querySelector(".map");
    this.picture = new Picture(this.host);
    this.words = new Words(box, this.buttons());
    this.hearing = new Hearing(new Audio(), (song, error) => this.words.showMessage(unheard(song, error)));
    this.land = { songs: [], colours: [], points: new Float32Array(0), flat: true, halves: [0, 0, 0], radius: 0 };
    this.screen = new Float32Array(0);
    [this.lassoed, this.names, this.pointed, this.drawn, this.serial] = [[], [], -1, 0, 0];
    this.frame = this.frame.bind(this);
    this.pointers = watch(this.host, this.gestures());
    this.listeners = { keydown: (event) => this.key(event), focus: () => this.focused(), blur: () => this.byKeys && this.point(-1) };
    for (const [name, listener] of Object.entries(this.listeners)) this.host.addEventListener(name, listener);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.host);
  }

  buttons() {
    return {
      lasso: () => this.setDrawing(!this.drawing),
      hear: () => this.setHears(!this.hears),
      clear: () => this.choose([]),
      home: () => this.goHome(),
    };
  }

  gestures() {
    const near = (x, y, touch) => nearest(this.screen, x, y, touch ? REACH.touch : REACH.mouse);
    return {
      inUse: () => this.host.matches(":focus"),
      wantsLasso: () => this.drawing,
      hover: (x, y) => ((this.over = true), this.point(near(x, y, false))),
      leave: () => ((this.over = false), this.point(-1)),
      click: (x, y, touch) => this.clicked(near(x, y, touch), touch),
      grab: (doing) => this.grab(doing),
      drag: (right, down, slides) => this.drag(right, down, slides),
      zoom: (factor, x, y) => this.look(zoomed(this.settle(), factor, x, y, this.picture)),
      lasso: (line) => ((this.line = line), this.refresh()),
      lassoed: (line) => line.length > 2 && this.choose(caught(this.screen, line).map((i) => this.land.songs[i].id)),
      dropped: () => this.dropped(),
      home: (x, y) => near(x, y, false) < 0 && this.goHome(),
    };
  }

  /** Takes what Python sent; only what is new is read. */
  update(component) {
    this.component = component;
    const { meta } = component.data;
    this.box.style.setProperty("--height", `${meta.height}px`);
    if (meta.version !== this.version) this.load(readSongs(component.data));
    this.version = meta.version;
    this.words.describe(meta, this.land);
    this.resize(); // the theme's colours may be others
  }

  load(land) {
    const before = { land: this.land, view: this.view };
    this.land = land;
    this.numbers = new Map(land.songs.map(({ id }, i) => [id, i]));
    this.screen = new Float32Array(land.points.length);
    this.box3 = boxPoints(land.halves);
    this.shown = land.points;
    this.own = [...land.songs.keys()].filter((i) => land.songs[i].own);
    this.point(-1);
    this.lassoed = this.lassoed.filter((id) => this.numbers.has(id));
    this.mark();
    const from = before.land.songs.length && land.songs.length ? before : null;
    this.view = from && from.land.flat === land.flat ? from.view : home(land.flat);
    if (from) this.travel(MOVE_MS, from.view, this.view, this.placesBefore(from.land));
  }

  /** Where songs were that are still here, for each of the songs that are here now. */
  placesBefore(land) {
    const points = this.land.points.slice();
    land.songs.forEach(({ id }, i) => {
      const now = this.numbers.get(id);
      if (now !== undefined) points.set(land.points.subarray(3 * i, 3 * i + 3), 3 * now);
    });
    return points;
  }

  resize() {
    this.picture.resize(this.land);
    this.unit = fit(this.land.points, this.land.flat, this.picture.width, this.picture.height);
    if (this.view) this.look(this.view);
  }

  // what the view does

  travel(milliseconds, from, to, points = null) {
    this.view = to;
    this.passage = matchMedia("(prefers-reduced-motion: reduce)").matches ? null : { began: performance.now(), milliseconds, from, to, points };
    this.look(this.passage ? from : to);
  }

  /** The view as it is to be, the way there being over. */
  settle() {
    if (this.passage) [this.view, this.passage, this.shown] = [this.passage.to, null, this.land.points];
    return this.view;
  }

  advance() {
    const { began, milliseconds, from, to, points } = this.passage;
    const time = clamp((performance.now() - began) / milliseconds, 0, 1);
    if (time === 1) return this.settle();
    const share = 1 - (1 - time) ** 3;
    this.view = Object.fromEntries(Object.keys(to).map((name) => [name, mix(from[name], to[name], share)]));
    if (points) this.shown = points.map((value, o) => mix(value, this.land.points[o], share));
    return this.look(this.view);
  }

  look(view) {
    this.view = view;
    this.stale = true;
    this.refresh();
  }

  goHome() {
    this.travel(HOME_MS, this.settle(), home(this.land.flat));
  }

  grab(doing) {
    this.settle();
    this.point(-1);
    const middle = this.view.zoom > 1.15 ? nearest(this.screen, this.picture.width / 2, this.picture.height / 2) : -1;
    this.pivot = middle < 0 ? [0, 0, 0] : this.land.points.subarray(3 * middle, 3 * middle + 3); // what is in the middle stays there
    this.host.classList.toggle("dragging", doing !== "lasso");
  }

  drag(right, down, slides) {
    const { view } = this;
    if (slides || this.land.flat) return this.look({ ...view, panX: view.panX + right, panY: view.panY + down });
    return this.look(turned(view, TURN * right, TURN * down, this.pivot, this.lens));
  }

  get lens() {
    return { width: this.picture.width, height: this.picture.height, unit: this.unit };
  }

  dropped() {
    this.line = null;
    this.host.classList.remove("dragging");
    this.refresh();
  }

  // what is pointed at, heard, opened, chosen

  point(i, byKeys = false) {
    this.byKeys = byKeys && i >= 0;
    if (this.hears || i < 0) this.hearing.want(this.land.songs[i] ?? null);
    if (i === this.pointed) return;
    this.pointed = i;
    this.words.showCard(this.land.songs[i] ?? null, this.byKeys);
    this.host.classList.toggle("pointing", i >= 0);
    this.refresh();
  }

  clicked(i, touch) {
    if (i < 0) return this.point(-1);
    if (touch && i !== this.pointed) return this.point(i);
    this.point(i);
    return this.report(this.land.songs[i].id);
  }

  choose(ids) {
    this.lassoed = ids;
    this.mark();
    this.report(null);
  }

  mark() {
    this.chosen = null;
    if (this.lassoed.length) this.chosen = new Uint8Array(this.land.songs.length);
    for (const id of this.lassoed) this.chosen[this.numbers.get(id)] = 1;
    this.words.showChosen(this.lassoed.length);
    this.stale = true;
    this.refresh();
  }

  /** What is opened goes with the click alone, so that a later lasso does not open it again. */
  report(opened) {
    this.serial = Math.max(Date.now(), this.serial + 1);
    this.component.setStateValue("seen", { lassoed: this.lassoed, opened, serial: this.serial });
  }

  setDrawing(on) {
    this.drawing = on;
    this.host.classList.toggle("lassoing", on);
    this.words.press("lasso", on);
  }

  setHears(on) {
    this.hears = on;
    this.words.press("hear", on);
    this.words.showMessage("");
    this.hearing.want(on ? (this.land.songs[this.pointed] ?? null) : null);
  }

  // keys

  focused() {
    if (!this.over && this.host.matches(":focus-visible") && this.pointed < 0) this.step(null);
  }

  key(event) {
    const action = actionFor(event);
    if (!action || !this.land.songs.length) return;
    event.preventDefault();
    event.stopPropagation();
    const [name, value] = action;
    const song = this.land.songs[this.pointed];
    if (name === "step") this.step(value);
    if (name === "turn") this.turn(value);
    if (name === "open" && song) this.report(song.id);
    if (name === "hear" && song) this.hearing.want(this.hearing.song === song ? null : song);
    if (name === "zoom") this.look(zoomed(this.settle(), value, ...this.aim(), this.picture));
    if (name === "home") this.goHome();
    if (name === "escape") this.escape();
  }

  escape() {
    if (this.pointers.cancel()) return;
    if (this.lassoed.length) this.choose([]);
    else if (this.drawing) this.setDrawing(false);
    else this.point(-1);
  }

  turn([right, down]) {
    this.settle();
    this.pivot = [0, 0, 0];
    this.drag(KEY_PIXELS * right, KEY_PIXELS * down, false);
  }

  aim() {
    const { width, height } = this.picture;
    return this.pointed < 0 ? [width / 2, height / 2] : this.screen.subarray(3 * this.pointed, 3 * this.pointed + 2);
  }

  /** To the nearest song in a direction, or to one in the middle. */
  step(direction) {
    if (!this.screen.length) return;
    this.settle();
    this.place();
    const { width, height } = this.picture;
    const next = direction && this.pointed >= 0 ? towards(this.screen, this.pointed, direction) : nearest(this.screen, width / 2, height / 2);
    this.point(next, true);
    const [x, y] = this.screen.subarray(3 * next, 3 * next + 2);
    const [right, down] = [clamp(x, CLEAR, width - CLEAR) - x, clamp(y, CLEAR, height - CLEAR) - y];
    if (right || down) this.drag(right, down, true);
  }

  // drawing

  refresh() {
    this.frameRequest ??= requestAnimationFrame(this.frame);
  }

  place() {
    return project(this.shown, this.view, this.lens, this.screen);
  }

  /** One frame; there is another only where something changes again. */
  frame() {
    this.frameRequest = null;
    if (!this.view || !this.picture.width) return;
    if (this.passage) this.advance();
    const { land, picture, screen } = this;
    const radius = dotRadius(land.songs.length, picture, this.view.zoom);
    const sizeOf = (i) => dotSize(radius, screen[3 * i + 2], land.songs[i].own);
    if (this.stale) {
      this.stale = false;
      this.place();
      const near = land.flat ? [1, 1] : nearRange(land.radius);
      const box = land.flat ? [] : project(this.box3, this.view, this.lens, new Float32Array(this.box3.length));
      picture.drawDots(land, screen, fromFarToNear(screen, near), { sizeOf, near, chosen: this.chosen, box });
      const widthOf = (i) => picture.widthOf(land.songs[i]);
      this.names = placed(screen, this.wanted(), picture, { sizeOf, lineHeight: picture.lineHeight, widthOf });
    }
    const { pointed } = this;
    const ring = pointed < 0 ? null : { x: screen[3 * pointed], y: screen[3 * pointed + 1], radius: sizeOf(pointed) };
    picture.drawMarks({ names: this.names.filter(({ i }) => i !== pointed), songs: land.songs, ring, line: this.line, accent: this.words.accent });
    if (ring) this.words.placeCard(ring, picture);
    this.drawn++;
  }

  /** Songs in the order in which they get their names: one's own, those that have one, the others; of a lasso only the chosen. */
  *wanted() {
    const { songs } = this.land;
    const held = this.names.map(({ i }) => i).filter((i) => i < songs.length);
    const seen = new Uint8Array(songs.length);
    for (const list of [this.own, held, songs.keys()])
      for (const i of list) if (!seen[i] && (!this.chosen || this.chosen[i])) yield ((seen[i] = 1), i);
  }

  destroy() {
    cancelAnimationFrame(this.frameRequest);
    this.observer.disconnect();
    this.pointers.undo();
    for (const [name, listener] of Object.entries(this.listeners)) this.host.removeEventListener(name, listener);
    this.hearing.destroy();
    this.words.destroy();
  }
}

function unheard({ label }, error) {
  if (error?.name === "NotAllowedError") return "The browser plays no sound before the page was clicked: click the map, then point again.";
  return `The sound of “${label}” cannot be played here.`;
}

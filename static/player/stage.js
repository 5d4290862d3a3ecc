// One scene on the page: its frame, label, names and legend, Plotly's still picture, and what moves over it.

import { gradientOf } from "./colour.js";
import { Passage } from "./forming.js";
import { nearest, outOf, pointAt, unproject, indexAt } from "./maths.js";
import { Overlay } from "./overlay.js";
import { Scene, canDraw, loadPlotly } from "./scene.js";
import { watch } from "./pointers.js";

const HIT_PIXELS = 14;
const painted = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
const CUBE = { sides: [1, 1, 1], half: 1 };

export class Stage {
  constructor(figure, act) {
    this.figure = figure;
    this.host = figure.querySelector(".canvas-host");
    this.act = act;
    this.reshaped = false;
    this.overlay = new Overlay(figure);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(figure);
    this.unwatch = watch(this.host, {
      hover: (x, y) => this.act.brush(x === null ? [] : this.timesNear(x, y)),
      click: (x, y, shift) => this.clicked(x, y, shift),
      lead: () => this.act.lead(this),
      drag: (on) => this.act.drag(on),
    });
  }

  /** Shows a scene; `live` ones are only their moving path in a cube that stays as it is. */
  async load(record, colouring, { camera, plotly, live, wallSeconds }) {
    const shown = this.record && this.overlay.path?.points;
    const grown = live && shown?.length === record.path.points.length;
    if (record.geometry !== this.record?.geometry || colouring !== this.overlay.colouring) {
      this.overlay.setColouring(colouring);
      this.overlay.setPath(record.path);
      this.overlay.lines = record.lines.filter((line) => line.kind === "forecast" || line.kind === "truth");
      this.passage = null;
      this.reshaped = false;
      if (grown) this.startPassage(shown, record, wallSeconds);
    }
    [this.record, this.live] = [record, live];
    this.describe(record, colouring);
    this.making ??= this.make(plotly);
    this.scene = await this.making;
    if (this.gone || !this.scene) return;
    await this.scene.draw(live ? { ...record, bounds: CUBE, geometry: "live" } : record, { camera, bare: live || this.reshaped });
    this.overlay.stale = true;
  }

  /** A scene takes the browser a tenth of a second and more: the page with all its controls is painted first. */
  async make(plotly) {
    await painted();
    this.figure.querySelector(".no-webgl").hidden = canDraw();
    return canDraw() ? new Scene(this.host, await loadPlotly(plotly), () => this.act.rendered(this)) : null;
  }

  startPassage(from, record, wallSeconds) {
    const seconds = wallSeconds - (this.arrivedAt ?? wallSeconds - 0.3);
    this.arrivedAt = wallSeconds;
    this.passage = new Passage(from, record.path.points, wallSeconds, seconds);
    this.overlay.setPoints(from);
  }

  describe({ label, note, lines }, colouring) {
    const find = (selector) => this.figure.querySelector(selector);
    find(".label").textContent = label;
    find(".note").textContent = note;
    this.figure.setAttribute("aria-label", `${label || "Trajectory"} in 3D: drag to turn; Shift and arrows turn, plus and minus zoom`);
    const named = lines.filter((line, i) => line.name && line.kind !== "path" && lines.findIndex((other) => other.name === line.name) === i);
    find(".names").replaceChildren(...named.map(nameItem));
    find(".legend").hidden = !colouring.title;
    find(".legend .title").textContent = colouring.title;
    find(".legend .bar").style.background = gradientOf(colouring.stops);
    const [low, high] = find(".legend .ends").children;
    [low.textContent, high.textContent] = colouring.ends;
  }

  resize() {
    this.scene?.resize();
    this.overlay.resize(this.figure);
    this.act.refresh();
  }

  home() {
    return this.scene?.home(this.live ? CUBE : this.record.bounds);
  }

  /** One frame: whatever changed since the last one. */
  frame(time, wallSeconds, options) {
    const matrix = this.scene?.matrix();
    if (!matrix) return;
    if (this.passage) {
      this.overlay.setPoints(this.passage.points(wallSeconds));
      if (this.passage.done) this.passage = null;
    }
    this.overlay.draw(matrix, time, wallSeconds, options);
  }

  get busy() {
    return Boolean(this.passage) || this.overlay.unsettled;
  }

  /** The replay's shape in the path's place, or the path itself again. */
  showShape(replay) {
    if (replay.whole) {
      this.overlay.setPath(this.record.path);
      this.reshaped = false;
      return this.scene?.draw(this.record, { bare: false });
    }
    const { times } = replay.forming;
    const { path } = this.record;
    if (!this.reshaped) {
      const values = Float32Array.from(times, (time) => path.values[Math.round(indexAt(path.times, time))]);
      this.overlay.setPath({ ...path, times, values, points: replay.shape() });
      this.scene?.draw(this.record, { bare: true });
    } else this.overlay.setPoints(replay.shape());
    this.reshaped = true;
    return null;
  }

  timesNear(x, y) {
    const found = this.near(x, y);
    return found < 0 ? [] : [this.overlay.path.times[found]];
  }

  near(x, y) {
    const { matrix, width, height, path } = this.overlay;
    return matrix && path ? nearest(matrix, width, height, path.points, x, y, HIT_PIXELS) : -1;
  }

  clicked(x, y, shift) {
    const found = shift ? -1 : this.near(x, y);
    if (found >= 0) return this.act.hear(this.overlay.path.times[found]);
    const { matrix, width, height } = this.overlay;
    const place = matrix && unproject(matrix, width, height, x, y, [0, 0, 0]);
    return place && this.act.pick(this, place, outOf(place, this.record.bounds));
  }

  /** Where a moment of the path is on the screen: for tests. */
  project(time) {
    const { path } = this.overlay;
    return this.overlay.screen(pointAt(path.points, indexAt(path.times, time), [0, 0, 0]));
  }

  destroy() {
    this.gone = true;
    this.unwatch();
    this.observer.disconnect();
    this.scene?.destroy();
    this.figure.remove();
  }
}

function nameItem(line) {
  const item = document.createElement("li");
  const sample = document.createElement("i");
  sample.className = line.kind;
  sample.style.color = line.colour;
  item.append(sample, line.name);
  return item;
}

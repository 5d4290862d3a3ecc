// The waveform, the spectrogram with its moving window, and the recurrence plot: drawn once, then only cursors move.

import { pixelsOf } from "./colour.js";
import { clamp, clockText, nextReturn } from "./maths.js";

const NARROW = 700; // pixels, as in the style sheet
const SHOWN_SECONDS = 30; // of a longer song's spectrogram, sliding with the time
const HEAT = [[0, "#0b0b12"], [0.25, "#2b1a4f"], [0.5, "#8c2d6b"], [0.75, "#ee7b4b"], [1, "#fff3c4"]]; // rises in lightness all the way
const RETURNS = [[0, "#0b0b12"], [0.6, "#285c74"], [1, "#d9fff3"]];

/** `act` is told: seek(time), brush([times]), jump([earlier, later], to). */
export class Panes {
  constructor(root, act) {
    this.root = root;
    this.act = act;
    this.undo = [];
    this.elements = Object.fromEntries(["waveform", "spectrogram", "recurrence"].map((name) => [name, root.querySelector(`.${name}`)]));
    this.plots = Object.fromEntries(Object.entries(this.elements).map(([name, pane]) => [name, pane.querySelector(".plot")]));
    this.timeline(this.plots.waveform, (x) => this.span[0] + x * (this.span[1] - this.span[0]));
    this.timeline(this.plots.spectrogram, (x) => this.view[0] + x * (this.view[1] - this.view[0]));
    this.listenRecurrence();
    this.observer = new ResizeObserver(() => this.resize());
    for (const plot of Object.values(this.plots)) this.observer.observe(plot);
  }

  on(element, name, heard) {
    element.addEventListener(name, heard);
    this.undo.push(() => element.removeEventListener(name, heard));
  }

  /** Press or drag to seek, hover to point. */
  timeline(plot, timeOf) {
    const at = (event) => {
      const { left, width } = plot.getBoundingClientRect();
      return timeOf(clamp((event.clientX - left) / width, 0, 1));
    };
    this.on(plot, "pointerdown", (event) => {
      if (event.button) return;
      plot.setPointerCapture(event.pointerId);
      this.act.seek(at(event));
    });
    this.on(plot, "pointermove", (event) => {
      if (event.buttons & 1 && plot.hasPointerCapture(event.pointerId)) this.act.seek(at(event));
      this.act.brush([at(event)]);
    });
    this.on(plot, "pointerleave", () => this.act.brush([]));
  }

  listenRecurrence() {
    const plot = this.plots.recurrence;
    const at = (event) => {
      const { left, top, width, height } = plot.getBoundingClientRect();
      const { low, high } = this.panes.recurrence;
      const [across, up] = [(event.clientX - left) / width, 1 - (event.clientY - top) / height];
      return [across, up].map((share) => low + clamp(share, 0, 1) * (high - low)).sort((a, b) => a - b);
    };
    this.on(plot, "click", (event) => this.act.jump(at(event)));
    this.on(plot, "pointermove", (event) => {
      const times = at(event);
      this.act.brush(times);
      plot.title = `${clockText(times[0])} and ${clockText(times[1])}`;
    });
    this.on(plot, "pointerleave", () => this.act.brush([]));
  }

  /** Goes on to where a moment returns, if it does. */
  returns(time) {
    const to = this.panes?.recurrence ? nextReturn(this.panes.recurrence, time) : null;
    if (to !== null) this.act.jump([Math.min(time, to), Math.max(time, to)], to);
  }

  /** `changed` is false where the panes hold what they held before. */
  load(panes, span, changed) {
    this.span = span;
    if (!changed) return;
    this.panes = panes;
    this.root.hidden = !panes;
    for (const [name, pane] of Object.entries(this.elements)) pane.hidden = !panes?.[name];
    this.root.classList.toggle("with-recurrence", Boolean(panes?.recurrence));
    if (!panes) return;
    if (!this.folded) this.fold();
    if (panes.spectrogram) paint(this.plots.spectrogram, transposed(panes.spectrogram), HEAT);
    if (panes.recurrence) paint(this.plots.recurrence, flipped(panes.recurrence), RETURNS);
    this.resize();
  }

  /** On a narrow screen the player and the waveform come first; the rest opens at a press. */
  fold() {
    this.folded = true;
    const narrow = this.root.clientWidth < NARROW;
    for (const name of ["spectrogram", "recurrence"]) this.elements[name].open = !narrow;
  }

  resize() {
    for (const [name, plot] of Object.entries(this.plots)) this.sizes = { ...this.sizes, [name]: [plot.clientWidth, plot.clientHeight] };
    if (this.panes?.waveform && this.sizes.waveform[0]) this.drawWaveform();
    this.moved = null;
  }

  drawWaveform() {
    const { low, high } = this.panes.waveform;
    const [width, height] = this.sizes.waveform;
    const style = getComputedStyle(this.plots.waveform);
    for (const [canvas, colour] of [[".rest", "--quiet"], [".played", "--accent"]].map(([name, token]) => [this.plots.waveform.querySelector(name), style.getPropertyValue(token)])) {
      const ratio = Math.min(devicePixelRatio || 1, 2);
      [canvas.width, canvas.height] = [width * ratio, height * ratio];
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      context.fillStyle = colour;
      const peak = Math.max(1e-6, high.reduce((a, b) => Math.max(a, b), 0), -low.reduce((a, b) => Math.min(a, b), 0));
      for (let x = 0; x < width; x++) {
        const [first, past] = [x, x + 1].map((edge) => Math.floor((edge / width) * low.length));
        let [bottom, top] = [low[first], high[first]];
        for (let i = first + 1; i < past; i++) [bottom, top] = [Math.min(bottom, low[i]), Math.max(top, high[i])];
        const [y, end] = [top, bottom].map((value) => (0.5 - (0.48 * value) / peak) * height);
        context.fillRect(x, y, 1, Math.max(1, end - y));
      }
    }
  }

  /** Moves the cursors: a few style changes a frame, and none where nothing moved. */
  show(time, loop, brushed) {
    const moved = `${time}|${loop}|${brushed}`;
    if (!this.panes || this.moved === moved) return;
    this.moved = moved;
    if (this.panes.waveform) this.showWaveform(time, loop, brushed);
    if (this.panes.spectrogram) this.showSpectrogram(time, brushed);
    if (this.panes.recurrence) this.showRecurrence(time, brushed);
  }

  showWaveform(time, loop, brushed) {
    const plot = this.plots.waveform;
    const x = (moment) => ((moment - this.span[0]) / (this.span[1] - this.span[0])) * this.sizes.waveform[0];
    const rest = this.sizes.waveform[0] - x(time);
    across(plot.querySelector(".clip"), -rest); // the window goes one way and its picture the other: nothing is painted anew
    across(plot.querySelector(".played"), rest);
    across(plot.querySelector(".now"), x(time));
    across(plot.querySelector(".brush"), brushed.length ? x(brushed.at(-1)) : null);
    across(plot.querySelector(".loop"), loop ? x(loop[0]) : null, loop ? x(loop[1]) - x(loop[0]) : 0);
  }

  showSpectrogram(time, brushed) {
    const plot = this.plots.spectrogram;
    const { start, bin_seconds: binSeconds, bins } = this.panes.spectrogram;
    const length = bins * binSeconds;
    const seconds = Math.min(length, SHOWN_SECONDS);
    const left = clamp(time - seconds / 2, start, start + length - seconds);
    this.view = [left, left + seconds];
    const scale = this.sizes.spectrogram[0] / seconds;
    const canvas = plot.querySelector("canvas");
    canvas.style.width = `${(length / seconds) * 100}%`;
    canvas.style.transform = `translateX(${(start - left) * scale}px)`;
    const width = this.panes.window_seconds;
    across(plot.querySelector(".window"), (time - width / 2 - left) * scale, width * scale);
    across(plot.querySelector(".brush"), brushed.length ? (brushed.at(-1) - left) * scale : null);
  }

  showRecurrence(time, brushed) {
    const plot = this.plots.recurrence;
    const { low, high } = this.panes.recurrence;
    const [width, height] = this.sizes.recurrence;
    const share = (moment) => clamp((moment - low) / (high - low), 0, 1);
    across(plot.querySelector(".now"), share(time) * width);
    down(plot.querySelector(".now-up"), (1 - share(time)) * height);
    const [first, second] = brushed.length ? [brushed[0], brushed.at(-1)] : [];
    across(plot.querySelector(".brush"), second === undefined ? null : share(second) * width);
    down(plot.querySelector(".brush-up"), first === undefined ? null : (1 - share(first)) * height);
  }

  destroy() {
    for (const undo of this.undo) undo();
    this.observer.disconnect();
  }
}

function across(element, x, width) {
  element.hidden = x === null;
  if (x === null) return;
  element.style.transform = `translateX(${x}px)`;
  if (width !== undefined) element.style.width = `${width}px`;
}

function down(element, y) {
  element.hidden = y === null;
  if (y !== null) element.style.transform = `translateY(${y}px)`;
}

function paint(plot, { levels, width, height }, stops) {
  const canvas = plot.querySelector("canvas");
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(pixelsOf(levels, stops), width, height), 0, 0);
}

/** Bins by frequencies, low first -> a picture with low frequencies at the bottom. */
function transposed({ levels, bins, frequencies }) {
  const picture = new Uint8Array(levels.length);
  for (let bin = 0; bin < bins; bin++) for (let f = 0; f < frequencies; f++) picture[(frequencies - 1 - f) * bins + bin] = levels[bin * frequencies + f];
  return { levels: picture, width: bins, height: frequencies };
}

/** Time runs up as it runs right. */
function flipped({ levels, size }) {
  const picture = new Uint8Array(levels.length);
  for (let row = 0; row < size; row++) picture.set(levels.subarray(row * size, (row + 1) * size), (size - 1 - row) * size);
  return { levels: picture, width: size, height: size };
}

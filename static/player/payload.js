// What Python sends (numbers as Arrow columns, the rest as plain values) -> the records that the player draws.

import { boundsOf, within } from "./maths.js";

const column = (table, name) => table.getChild(name).toArray();

/** Scenes with their lines in the data's own coordinates, and as seen from the middle of their own box. */
export function readScenes(data) {
  const numbers = Object.fromEntries(["x", "y", "z", "time", "value"].map((name) => [name, column(data.lines, name)]));
  return data.meta.scenes.map((scene) => {
    const lines = scene.lines.map((line) => readLine(line, numbers));
    const bounds = boundsOf(lines.filter((line) => line.kind !== "member").map((line) => line.raw));
    for (const line of lines) line.points = within(line.raw, bounds);
    return { ...scene, lines, bounds, path: lines.find((line) => line.kind === "path") ?? lines[0] };
  });
}

function readLine(line, { x, y, z, time, value }) {
  const raw = new Float32Array(3 * line.count);
  for (let i = 0; i < line.count; i++) raw.set([x[line.first + i], y[line.first + i], z[line.first + i]], 3 * i);
  const [first, past] = [line.first, line.first + line.count];
  return { ...line, raw, times: time.slice(first, past), values: value.slice(first, past) };
}

/** Snapshots of the first scene's path, in the box of the path that they became. */
export function readForming(data, bounds) {
  const about = data.meta.forming;
  if (!about) return null;
  const numbers = column(data.forming, "number");
  const times = Float32Array.from(about.times);
  const size = 3 * times.length;
  const shapes = about.steps.map((_, i) => within(numbers.slice(i * size, (i + 1) * size), bounds));
  return { steps: about.steps, times, shapes };
}

export function readPanes(data) {
  const about = data.meta.panes;
  if (!about) return null;
  const levels = (name) => (about[name] ? { ...about[name], levels: column(data[name], "level") } : null);
  const waveform = about.waveform ? { low: column(data.waveform, "low"), high: column(data.waveform, "high") } : null;
  return { ...about, waveform, spectrogram: levels("spectrogram"), recurrence: levels("recurrence") };
}

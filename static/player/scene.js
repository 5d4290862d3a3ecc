// One scene's still picture, drawn once by Plotly: the box, the path at rest, the faint lines. Its camera is everyone's camera.

import { blend, cssOf, rgbOf } from "./colour.js";
import { cameraMatrix, cornersOf, fitted, multiply, simplify } from "./maths.js";

export const LIMIT = 1.25; // how far Plotly's axes reach, where the path reaches 1; what lies beyond is cut off
const SCALE = 0.5 / LIMIT; // from the scene's places to Plotly's cube with sides of 1
const HOME = [0.95, -1.25, 0.85]; // from where a scene is seen at first
const REST_POINTS = 4000; // what the path at rest needs to keep its shape on a screen
const REST = "#4a4c5c";
const BOX = "#34364a";
const FAINT = { forecast: 0.9, truth: 0.55, member: 0.3 }; // of the line's colour, the rest being the dark behind it
const SCENE_DARK = [11, 11, 18];

let loading = null; // one Plotly a page
let drawable = null; // whether this browser has WebGL

export function loadPlotly(url) {
  if (window.Plotly) return Promise.resolve(window.Plotly);
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = url;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => {
      loading = null;
      reject(new Error(`${url} could not be loaded`));
    };
    document.head.append(script);
  });
  return loading;
}

export function canDraw() {
  if (drawable === null) {
    const context = document.createElement("canvas").getContext("webgl");
    drawable = Boolean(context);
    context?.getExtension("WEBGL_lose_context")?.loseContext();
  }
  return drawable;
}

export class Scene {
  /** `rendered(scene)` is called in the frame in which Plotly has drawn anew, with the camera as it is then. */
  constructor(host, plotly, rendered) {
    this.host = host;
    this.plotly = plotly;
    this.rendered = rendered;
    this.drawn = null;
    this.work = Promise.resolve();
  }

  /** Draws what stands still, one call after the other; the camera stays where it is. */
  draw(scene, { camera, bare }) {
    const wanted = `${scene.geometry}|${bare}`;
    if (wanted === this.drawn) return this.work;
    this.drawn = wanted;
    this.work = this.work.then(() => this.redraw(scene, camera, bare)).catch((error) => this.failed(error));
    return this.work;
  }

  async redraw(scene, camera, bare) {
    if (this.gone) return;
    const traces = [box(scene.bounds), ...(bare ? [] : faintLines(scene.lines))];
    const layout = layoutWith(this.camera() ?? camera ?? this.home(scene.bounds));
    const config = { displayModeBar: false, scrollZoom: true, responsive: false, doubleClick: false, plotGlPixelRatio: pixelRatio() };
    if (this.ready) await this.plotly.react(this.host, traces, layout, config);
    else await this.plotly.newPlot(this.host, traces, layout, config);
    if (this.gone) return;
    this.ready = true;
    this.hook();
  }

  failed(error) {
    if (!this.gone) throw error;
  }

  get inner() {
    return this.host._fullLayout?.scene?._scene;
  }

  /** Plotly's picking would read pixels back at every move of the camera (20 to 70 ms): it is off, and its redraws are heard. */
  hook() {
    const { inner } = this;
    if (!inner) return;
    for (const trace of Object.values(inner.traces)) if (trace.linePlot) trace.linePlot.pickSlots = 0;
    const nobody = { pickSlots: 0 };
    inner.glplot.add(nobody); // adding counts the slots anew
    inner.glplot.remove(nobody);
    if (inner.glplot.trajectoryHooked) return;
    inner.glplot.trajectoryHooked = true;
    const before = inner.glplot.onrender;
    inner.glplot.onrender = () => {
      before?.();
      this.rendered(this);
    };
  }

  camera() {
    const seen = this.ready ? this.inner?.getCamera() : null;
    return seen ? { eye: seen.eye, center: seen.center, up: seen.up } : null;
  }

  /** The camera that sees the whole box. */
  home(bounds) {
    return fitted(HOME, cornersOf(boxSides(bounds)), this.host.clientWidth / this.host.clientHeight || 1, SCALE);
  }

  setCamera(camera) {
    const { inner } = this;
    if (this.ready && inner) inner.setViewport({ camera: { ...camera, projection: { type: "perspective" } }, aspectratio: { x: 1, y: 1, z: 1 } });
  }

  /** From the scene's own places (-1 to 1) to the screen. */
  matrix() {
    const { inner } = this;
    if (!this.ready || !inner) return null;
    const { projection, view, model } = inner.glplot.cameraParams;
    const [x, y, z] = inner.dataScale;
    const scale = [x, 0, 0, 0, 0, y, 0, 0, 0, 0, z, 0, 0, 0, 0, 1];
    return multiply(projection, multiply(view, multiply(model, scale)));
  }

  /** The same from Plotly's public camera alone: tests hold the two against each other. */
  publicMatrix() {
    const camera = this.camera();
    const aspect = this.host.clientWidth / this.host.clientHeight;
    return camera && multiply(cameraMatrix(camera, aspect), [SCALE, 0, 0, 0, 0, SCALE, 0, 0, 0, 0, SCALE, 0, 0, 0, 0, 1]);
  }

  resize() {
    if (this.ready && this.host.offsetWidth) this.plotly.Plots.resize(this.host);
  }

  destroy() {
    this.gone = true;
    if (this.ready) this.plotly.purge(this.host);
  }
}

/** Draws a scene where nobody sees it: the first that is drawn takes the browser many times as long as the next. */
export async function practise(url) {
  const host = document.createElement("div");
  host.style.cssText = "position: fixed; visibility: hidden; width: 64px; height: 64px";
  document.body.append(host);
  const scene = new Scene(host, await loadPlotly(url), () => {});
  await scene.draw({ bounds: { sides: [1, 1, 1], half: 1 }, geometry: "practice", lines: [] }, { bare: true });
  scene.destroy();
  host.remove();
}

export const pixelRatio = () => Math.min(window.devicePixelRatio || 1, 2);

function layoutWith(camera) {
  const axis = { visible: false, range: [-LIMIT, LIMIT], showspikes: false, autorange: false };
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 0, r: 0, t: 0, b: 0 },
    showlegend: false,
    hovermode: false,
    autosize: true,
    uirevision: "kept",
    scene: { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", camera, dragmode: "turntable", hovermode: false },
  };
}

function trace(points, order, line) {
  const [x, y, z] = [0, 1, 2].map((k) => Array.from(order, (i) => (i < 0 ? null : points[3 * i + k])));
  return { type: "scatter3d", mode: "lines", x, y, z, line, hoverinfo: "skip", connectgaps: false };
}

const boxSides = ({ sides, half }) => sides.map((side) => Math.max((side / half) * 1.05, 0.02));

function box(bounds) {
  const corners = cornersOf(boxSides(bounds));
  const order = [];
  for (let i = 0; i < 8; i++) for (const bit of [1, 2, 4]) if (!(i & bit)) order.push(i, i | bit, -1);
  return trace(corners, order, { color: BOX, width: 1.5 });
}

function faintLines(lines) {
  const members = lines.filter((line) => line.kind === "member");
  const others = lines.filter((line) => line.kind !== "member").map((line) => {
    if (line.kind === "path") return trace(line.points, simplify(line.points, REST_POINTS), { color: REST, width: 1.5 });
    return trace(line.points, line.times.keys(), { color: dimmed(line.colour, FAINT[line.kind]), width: 3, dash: line.kind === "forecast" ? "dash" : "solid" });
  });
  const fans = [...new Set(members.map((line) => line.colour))].map((colour) => {
    return joined(members.filter((line) => line.colour === colour), { color: dimmed(colour, FAINT.member), width: 1 });
  });
  return [...others, ...fans];
}

/** Many thin lines as one trace with gaps: Plotly pays by the trace. */
function joined(lines, style) {
  const points = [];
  const order = [];
  for (const line of lines) {
    for (let i = 0; i < line.points.length / 3; i++) order.push(points.length / 3 + i);
    points.push(...line.points);
    order.push(-1);
  }
  return trace(points, order, style);
}

const dimmed = (hex, share) => cssOf(blend(SCENE_DARK, rgbOf(hex), share));

// The player: takes what Python sends, runs the one loop over everything, and tells Python what the listener did.

import { nextLoop, stepped } from "./clock.js";
import { Controls } from "./controls.js";
import { Replay } from "./forming.js";
import { moved, turned } from "./maths.js";
import { Panes } from "./panes.js";
import { readForming, readPanes, readScenes } from "./payload.js";
import { Stage } from "./stage.js";
import { Statistics } from "./statistics.js";
import { Transport } from "./transport.js";

const REPORT_MS = 200;
const STILL_SECONDS = 0.35; // a camera that stood still for so long is reported
const ORBIT = (2 * Math.PI) / 48; // radians a second
const MARK_SECONDS = 4; // how long the two moments of a recurrence stay marked
const SAME_SECONDS = 0.3; // marks nearer to each other would only cover each other
const TURN = 0.12; // radians a key press
const FRAME_SECONDS = 0.02; // of a frame that costs the machine nothing to speak of
const REST = 12; // parts of rest for each part of drawing, while a training needs the machine

const wallSeconds = () => performance.now() / 1000;
let current = null; // the one that keys go to

export class Player {
  constructor(box) {
    this.box = box;
    this.stages = [];
    this.brushed = [];
    this.marked = { until: 0, times: [] };
    this.statistics = new Statistics();
    this.transport = new Transport((what) => this.transportChanged(what));
    this.controls = new Controls(box, this.actions(), () => current === this);
    this.panes = new Panes(box.querySelector(".panes"), { seek: (time) => this.transport.seek(time), brush: (times) => this.brush(times), jump: (times, to) => this.jump(times, to) });
    this.tick = this.tick.bind(this);
    box.addEventListener("pointerdown", () => (current = this));
  }

  actions() {
    const { transport } = this;
    const step = (count) => transport.seek(stepped(this.scenes[0].path.times, transport.time(), count));
    const camera = (change) => this.camera() && this.setCameras(change(this.camera()));
    return {
      toggle: () => transport.toggle(),
      seek: (time) => transport.seek(time),
      back: () => transport.seek(transport.time() - 5),
      returns: () => this.panes.returns(transport.time()),
      on: () => transport.seek(transport.time() + 5),
      stepBack: () => step(-1),
      stepOn: () => step(1),
      loop: () => transport.setLoop(nextLoop(transport.loop, transport.time(), transport.span)),
      loopA: () => transport.setLoopEnd(0),
      loopB: () => transport.setLoopEnd(1),
      loopClear: () => transport.setLoop(null),
      rate: (rate) => transport.setRate(rate),
      volume: (volume) => transport.setVolume(volume, false),
      mute: () => transport.setVolume(transport.audio.volume, !transport.audio.muted),
      orbit: () => this.setOrbit(!this.orbiting),
      home: () => this.setCameras(this.home()),
      help: () => this.controls.toggleHelp(),
      nearer: () => camera((now) => moved(now, { nearer: 1 / 1.15 })),
      farther: () => camera((now) => moved(now, { nearer: 1.15 })),
      tiltUp: () => camera((now) => moved(now, { raise: TURN })),
      tiltDown: () => camera((now) => moved(now, { raise: -TURN })),
      turnLeft: () => camera((now) => turned(now, -TURN)),
      turnRight: () => camera((now) => turned(now, TURN)),
      formingToggle: () => this.replay.toggle(),
      formingSeek: (share) => this.replay.seek(share),
    };
  }

  /** Takes what Python sent; only what is new is read. */
  update(component) {
    this.component = component;
    this.quiet = true; // what Python asked for is no news to it
    const { data } = component;
    const { meta } = data;
    this.live = meta.live;
    const changed = (name) => this.versions?.[name] !== meta.versions[name];
    const another = this.transport.load({ sound: meta.sound, soundStart: meta.sound_start, span: meta.span, key: meta.key });
    if (changed("lines")) this.scenes = readScenes(data);
    if (changed("colouring")) this.colouring = meta.colouring;
    if (changed("forming") || changed("lines")) this.replay = new Replay(readForming(data, this.scenes[0].bounds));
    this.controls.setSpan(meta.span, Boolean(meta.sound));
    this.panes.load(changed("panes") ? readPanes(data) : null, meta.span, changed("panes"));
    this.panes.resize(); // the theme's colours may be others
    this.versions = meta.versions;
    this.box.style.setProperty("--height", `${meta.height}px`);
    if (another || this.serial !== meta.view.serial) this.show(meta.view);
    this.setStages(meta);
    this.quiet = false;
    this.start();
  }

  show(view) {
    const first = this.serial === undefined;
    this.serial = view.serial;
    this.wantedCamera = view.camera;
    if (view.camera) this.setCameras(view.camera);
    this.transport.seek(view.time);
    this.transport.setLoop(view.loop);
    if (first) this.setOrbit(this.live && !matchMedia("(prefers-reduced-motion: reduce)").matches);
  }

  setStages(meta) {
    const place = this.box.querySelector(".scenes");
    while (this.stages.length > this.scenes.length) this.stages.pop().destroy();
    while (this.stages.length < this.scenes.length) {
      const figure = this.box.querySelector(".scene-template").content.firstElementChild.cloneNode(true);
      place.append(figure);
      this.stages.push(new Stage(figure, this.stageActions()));
    }
    if (!this.stages.includes(this.lead)) this.lead = this.stages[0];
    this.stages.forEach((stage, i) => {
      const camera = this.camera() ?? this.wantedCamera;
      const options = { camera, plotly: meta.plotly, live: meta.live, wallSeconds: wallSeconds() };
      stage.load(this.scenes[i], this.colouring, options).then(() => this.refresh(), (error) => this.controls.showMessage(`The scene cannot be drawn: ${error.message}. Reload the page to try again.`));
    });
    this.controls.showForming(this.replay.forming && !this.live ? this.replay.forming : null, false, this.replay.share);
  }

  stageActions() {
    return {
      brush: (times) => this.brush(times),
      hear: (time) => this.hear(time),
      pick: (stage, place, point) => this.pick(stage, place, point),
      lead: (stage = this.lead) => (this.lead = stage),
      drag: (on) => (this.dragging = on),
      rendered: (stage) => this.rendered(stage),
      refresh: () => this.refresh(),
    };
  }

  refresh() {
    this.fresh = true;
  }

  camera() {
    return this.lead?.scene?.camera() ?? null;
  }

  /** The nearest camera from which every stage sees its whole box. */
  home() {
    const homes = this.stages.map((stage) => stage.home()).filter(Boolean);
    return homes.sort((a, b) => b.eye.z - a.eye.z)[0] ?? null;
  }

  setCameras(camera) {
    if (camera) for (const stage of this.stages) stage.scene?.setCamera(camera);
  }

  setOrbit(on) {
    if (this.orbiting && !on) this.cameraMovedAt = wallSeconds();
    this.orbiting = on;
    this.controls.showOrbit(on);
  }

  brush(times) {
    this.brushed = times;
    for (const stage of this.stages) stage.host.classList.toggle("pointing", times.length > 0);
    this.refresh();
  }

  hear(time) {
    this.transport.seek(time);
    this.transport.play();
  }

  jump(times, to = times[1]) {
    this.marked = { until: wallSeconds() + MARK_SECONDS, times };
    this.transport.seek(to);
  }

  pick(stage, place, point) {
    this.picked = { stage, place };
    this.sent = { ...this.sent, picked: { scene: this.stages.indexOf(stage), point, serial: Date.now() } };
    this.refresh();
    this.report();
  }

  transportChanged(what) {
    if (!this.transport) return;
    const { transport } = this;
    this.controls?.showPlaying(transport.playing);
    this.controls?.showLoop(transport.loop);
    this.controls?.showRate(transport.audio.playbackRate);
    this.controls?.showVolume(transport.audio.volume, transport.audio.muted);
    if (what === "sound") this.controls.showMessage("This browser cannot play the song's sound; the path still moves, in silence.");
    if (what !== "play" && !(what === "seek" && transport.playing && transport.loop)) this.report();
    this.refresh();
  }

  /** Plotly has drawn a stage anew: its overlay follows in the same frame, and the other stage's camera with it. */
  rendered(stage) {
    const began = performance.now();
    if (stage === this.lead) {
      const camera = JSON.stringify(stage.scene.camera());
      if (camera !== this.lastCamera) {
        if (this.lastCamera && !this.orbiting) this.cameraMovedAt = wallSeconds();
        this.lastCamera = camera;
        for (const other of this.stages) if (other !== stage) other.scene?.setCamera(JSON.parse(camera));
      }
    }
    if (this.time !== undefined) stage.frame(this.time, wallSeconds(), this.options(stage));
    this.statistics.add(performance.now() - began);
  }

  options(stage) {
    const atRest = !this.transport.playing && this.time <= this.transport.span[0] + 1e-3;
    const marked = this.marked.until > wallSeconds() ? this.marked.times : [];
    const times = [...marked, ...this.brushed.filter((time) => marked.every((other) => Math.abs(other - time) > SAME_SECONDS))];
    const marks = times.map((time) => ({ time }));
    if (this.picked?.stage === stage) marks.push({ point: this.picked.place, text: "picked" });
    return { all: this.live || stage.reshaped || atRest, comet: !this.live, marks };
  }

  /** One frame of everything. */
  tick(stamp) {
    this.frameRequest = requestAnimationFrame(this.tick);
    const began = performance.now();
    const wall = began / 1000;
    if (this.live && this.rests(wall)) return;
    const time = this.transport.advance();
    this.turn(wall);
    this.replayForming(wall);
    const marksEnd = this.marked.times.length && wall > this.marked.until;
    if (marksEnd) this.marked.times = [];
    const needed = time !== this.time || this.fresh || marksEnd || this.stages.some((stage) => stage.busy);
    this.time = time;
    if (needed) {
      this.fresh = false;
      for (const stage of this.stages) stage.frame(time, wall, this.options(stage));
      this.panes.show(time, this.transport.loop, this.brushed);
      this.controls.showTime(time, wall, this.transport.playing);
    }
    if (this.cameraMovedAt && wall > this.cameraMovedAt + STILL_SECONDS && !this.dragging) {
      this.cameraMovedAt = 0;
      this.report();
    }
    this.statistics.frame(stamp, performance.now() - began);
  }

  /** Whether this frame is left out: where pictures are drawn without a GPU, each takes from the training beside it. */
  rests(wall) {
    if (this.drewAt) this.restUntil = wall + REST * Math.max(0, wall - this.drewAt - FRAME_SECONDS);
    this.drewAt = 0;
    if (wall < (this.restUntil ?? 0)) return true;
    this.drewAt = wall;
    return false;
  }

  turn(wall) {
    const seconds = Math.min(0.1, wall - (this.turnedAt ?? wall));
    this.turnedAt = wall;
    const camera = this.orbiting && !this.dragging && this.camera();
    if (camera) this.setCameras(turned(camera, ORBIT * seconds));
  }

  replayForming(wall) {
    const { replay } = this;
    if (!replay.forming || this.live) return;
    replay.advance(wall);
    const shown = `${replay.share}|${replay.playing}`;
    if (shown === this.shownReplay) return;
    const untouched = this.shownReplay === undefined && replay.whole;
    this.shownReplay = shown;
    this.controls.showForming(replay.forming, replay.playing, replay.share);
    if (!untouched) this.stages[0].showShape(replay);
    this.refresh();
  }

  /** Tells Python, a little later and once, where things stand. */
  report() {
    if (this.live || this.quiet) return;
    clearTimeout(this.reporting);
    this.reporting = setTimeout(() => {
      const seen = { time: this.transport.time(), camera: this.camera() ?? this.wantedCamera ?? null, loop: this.transport.loop, picked: this.sent?.picked ?? null };
      const text = JSON.stringify(seen);
      if (text === this.reported) return;
      this.reported = text;
      this.component.setStateValue("seen", seen);
    }, REPORT_MS);
  }

  start() {
    current ??= this;
    this.frameRequest ??= requestAnimationFrame(this.tick);
  }

  destroy() {
    cancelAnimationFrame(this.frameRequest);
    clearTimeout(this.reporting);
    for (const part of [this.controls, this.panes, this.transport, ...this.stages]) part.destroy();
    if (current === this) current = null;
  }
}

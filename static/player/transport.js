// Playing: one audio element (or a silent clock), its filtered time in seconds of the song, speed, loop and volume.

import { ClockFilter, SilentSound, course, withEnd } from "./clock.js";
import { clamp } from "./maths.js";

const wallSeconds = () => performance.now() / 1000;

export class Transport {
  /** `changed(what)` is told of: "play", "pause", "seek", "loop", "rate", "volume", "sound". */
  constructor(changed) {
    this.changed = changed;
    this.filter = new ClockFilter();
    this.silent = new SilentSound(wallSeconds);
    this.span = [0, 0];
    this.loop = null;
    this.soundStart = 0;
    this.failed = false;
    this.audio = document.createElement("audio");
    this.audio.preload = "auto";
    this.audio.hidden = true;
    this.audio.preservesPitch = true;
    document.body.append(this.audio); // not among the player's own elements: being moved would stop it
    this.undo = ["play", "pause", "seeked", "error", "ratechange"].map((name) => {
      const heard = () => this.heard(name);
      this.audio.addEventListener(name, heard);
      return () => this.audio.removeEventListener(name, heard);
    });
  }

  heard(name) {
    this.filter.reset(wallSeconds());
    if (name === "error" && this.audio.getAttribute("src")) {
      this.silent.currentTime = this.time();
      this.failed = true;
      this.changed("sound");
    }
    if (name === "play" || name === "pause") this.changed(name);
  }

  get source() {
    return this.audio.getAttribute("src") && !this.failed ? this.audio : this.silent;
  }

  get playing() {
    return !this.source.paused;
  }

  /** Another sound or span starts over; the same ones play on. True where it was another. */
  load({ sound, soundStart, span, key }) {
    const same = sound === this.audio.getAttribute("src") && span.join() === this.span.join() && soundStart === this.soundStart;
    this.audio.dataset.player = key;
    if (same) return false;
    this.pause();
    [this.span, this.soundStart, this.failed, this.loop] = [span, soundStart, false, null];
    if (sound) this.audio.setAttribute("src", sound);
    else this.audio.removeAttribute("src");
    this.seek(span[0]);
    return true;
  }

  /** The filtered time in seconds of the song. */
  time() {
    const source = this.source;
    const steady = source === this.audio && !source.paused && !source.seeking && source.readyState >= 3;
    const reading = source.currentTime;
    if (!steady) this.filter.reset(wallSeconds());
    const seconds = steady ? this.filter.read(reading, wallSeconds(), source.playbackRate) : reading;
    return clamp(seconds + (source === this.audio ? this.soundStart : 0), ...this.span);
  }

  seek(time) {
    const inside = clamp(time, ...this.span);
    this.source.currentTime = inside - (this.source === this.audio ? this.soundStart : 0);
    this.filter.reset(wallSeconds());
    this.changed("seek");
  }

  play() {
    if (this.time() >= this.span[1] - 0.02) this.seek(this.loop ? this.loop[0] : this.span[0]);
    this.source.play().catch((error) => error.name === "AbortError" || this.refused(error));
    if (this.source === this.silent) this.changed("play");
  }

  refused(error) {
    if (error.name === "NotAllowedError") this.changed("pause"); // the browser wants a click first
    else this.heard("error");
  }

  pause() {
    const was = this.playing;
    this.source.pause();
    if (was && this.source === this.silent) this.changed("pause");
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  setRate(rate) {
    this.audio.playbackRate = this.silent.playbackRate = rate;
    this.changed("rate");
  }

  setVolume(volume, muted) {
    [this.audio.volume, this.audio.muted] = [volume, muted];
    this.changed("volume");
  }

  setLoop(loop) {
    this.loop = loop && [clamp(loop[0], ...this.span), clamp(loop[1], ...this.span)];
    this.changed("loop");
  }

  setLoopEnd(end) {
    this.setLoop(withEnd(this.loop, end, this.time(), this.span));
  }

  /** Called every frame: the time, after loops and the end have had their say. */
  advance() {
    const time = this.time();
    if (!this.playing) return time;
    const next = course(time, this.loop, this.span);
    if (!next) return time;
    if ("stop" in next) this.pause();
    else this.seek(next.seek);
    return "stop" in next ? next.stop : next.seek;
  }

  destroy() {
    for (const undo of this.undo) undo();
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
    this.audio.remove();
  }
}

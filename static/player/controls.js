// Buttons, sliders and keys: they tell the player what was asked for and show how things stand.

import { actionFor, KEYS } from "./keys.js";
import { clockText } from "./maths.js";

const SHOWN_SECONDS = 0.1; // how often the slider and the clock are written while playing

export class Controls {
  /** `act` holds a function for every action; keys call the same ones. */
  constructor(box, act, isCurrent) {
    this.box = box;
    this.undo = [];
    this.find = (selector) => box.querySelector(selector);
    const pressed = { toggle: "toggle", "loop-a": "loopA", "loop-b": "loopB", "loop-clear": "loopClear", mute: "mute", orbit: "orbit", home: "home", help: "help", "forming-toggle": "formingToggle" };
    for (const [name, action] of Object.entries(pressed)) this.on(this.find(`.${name}`), "click", () => act[action]());
    this.on(this.find(".scrubber"), "input", (event) => act.seek(Number(event.target.value)));
    this.on(this.find(".forming-scrubber"), "input", (event) => act.formingSeek(Number(event.target.value)));
    this.on(this.find(".volume"), "input", (event) => act.volume(Number(event.target.value)));
    this.on(this.find(".rate"), "change", (event) => act.rate(Number(event.target.value)));
    this.on(document, "keydown", (event) => {
      const target = event.composedPath()[0];
      const inScene = Boolean(target.closest?.(".scene")) && box.contains(target);
      const action = actionFor(event, target, inScene);
      if (!action || !isCurrent() || this.find("dialog").open) return;
      event.preventDefault();
      act[action]();
    });
    for (const [key, meaning] of KEYS) this.find("dl").append(element("dt", key), element("dd", meaning));
    this.writtenAt = -1;
  }

  on(target, name, heard) {
    target.addEventListener(name, heard);
    this.undo.push(() => target.removeEventListener(name, heard));
  }

  setSpan([start, stop], hasSound) {
    Object.assign(this.find(".scrubber"), { min: start, max: stop });
    this.span = [start, stop];
    this.find(".total").textContent = `/ ${clockText(stop)}`;
    this.find(".sound").hidden = !hasSound;
    this.shown = null;
  }

  showPlaying(playing) {
    const button = this.find(".toggle");
    button.classList.toggle("playing", playing);
    button.setAttribute("aria-label", playing ? "Pause" : "Play");
    button.title = `${playing ? "Pause" : "Play"} (Space)`;
  }

  showTime(time, wallSeconds, playing) {
    if (this.shown === time || (playing && wallSeconds < this.writtenAt + SHOWN_SECONDS)) return;
    [this.shown, this.writtenAt] = [time, wallSeconds];
    const scrubber = this.find(".scrubber");
    scrubber.value = time;
    scrubber.setAttribute("aria-valuetext", clockText(time));
    scrubber.style.setProperty("--filled", `${this.share(time) * 100}%`);
    this.find(".time").textContent = clockText(time);
  }

  share(time) {
    return (time - this.span[0]) / (this.span[1] - this.span[0] || 1);
  }

  showLoop(loop) {
    const shade = this.find(".loop-shade");
    shade.hidden = !loop;
    if (loop) Object.assign(shade.style, { left: `${this.share(loop[0]) * 100}%`, width: `${(this.share(loop[1]) - this.share(loop[0])) * 100}%` });
    this.find(".loop-a").classList.toggle("set", Boolean(loop));
    this.find(".loop-b").classList.toggle("set", Boolean(loop));
    this.find(".loop-clear").disabled = !loop;
  }

  showVolume(volume, muted) {
    const slider = this.find(".volume");
    slider.value = muted ? 0 : volume;
    slider.style.setProperty("--filled", `${(muted ? 0 : volume) * 100}%`);
    this.pressed(".mute", muted);
  }

  showRate(rate) {
    this.find(".rate").value = String(rate);
  }

  showOrbit(on) {
    this.pressed(".orbit", on);
  }

  showForming(forming, playing, share) {
    this.find(".forming").hidden = !forming;
    if (!forming) return;
    const slider = this.find(".forming-scrubber");
    const button = this.find(".forming-toggle");
    slider.value = share;
    slider.style.setProperty("--filled", `${share * 100}%`);
    const step = forming.steps[Math.round(share * (forming.steps.length - 1))];
    this.find(".forming-step").textContent = `step ${step}`;
    slider.setAttribute("aria-valuetext", `step ${step}`);
    button.classList.toggle("playing", playing);
    button.setAttribute("aria-label", playing ? "Pause how it formed" : "Play how it formed");
  }

  showMessage(text) {
    const place = this.find(".message");
    place.hidden = !text;
    place.textContent = text ?? "";
  }

  toggleHelp() {
    const dialog = this.find("dialog");
    if (dialog.open) dialog.close();
    else dialog.showModal();
  }

  pressed(selector, on) {
    this.find(selector).setAttribute("aria-pressed", String(on));
  }

  destroy() {
    for (const undo of this.undo) undo();
  }
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

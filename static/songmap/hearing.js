// What is under the pointer, heard: one sound at a time, after a moment, softly in and out.

export const WAIT_MS = 120;
const IN_MS = 160;
const OUT_MS = 120;
const STEP_MS = 20;

export class Hearing {
  /** `failed(song, error)` is told when a sound cannot be played. */
  constructor(audio, failed) {
    [this.audio, this.failed, this.song] = [audio, failed, null];
    audio.preload = "auto";
    this.onError = () => this.song && this.audio.src && this.fail(this.song, audio.error);
    audio.addEventListener("error", this.onError);
  }

  /** The song to be heard from now on, or none. */
  want(song) {
    const next = song?.sound ? song : null;
    if (next?.id === this.song?.id) return;
    this.song = next;
    clearTimeout(this.waiting);
    this.fade(0, OUT_MS, () => this.audio.pause());
    if (next) this.waiting = setTimeout(() => this.play(next), WAIT_MS);
  }

  play(song) {
    clearTimeout(this.fading);
    const { audio } = this;
    audio.pause();
    audio.volume = 0;
    if (this.loaded !== song.sound) audio.src = this.loaded = song.sound;
    audio.currentTime = song.start;
    const going = audio.play();
    going?.catch((error) => error.name === "AbortError" || this.fail(song, error));
    this.fade(1, IN_MS);
  }

  fail(song, error) {
    if (this.song?.id !== song.id) return;
    this.want(null);
    this.loaded = null;
    this.failed(song, error);
  }

  fade(to, milliseconds, done = () => {}) {
    clearTimeout(this.fading);
    const { audio } = this;
    const step = ((to - audio.volume) * STEP_MS) / milliseconds;
    if (audio.paused || !step) return done();
    const next = () => {
      const left = to - audio.volume - step;
      audio.volume = Math.abs(left) < Math.abs(step) / 2 ? to : Math.min(1, Math.max(0, audio.volume + step));
      if (audio.volume === to) done();
      else this.fading = setTimeout(next, STEP_MS);
    };
    this.fading = setTimeout(next, STEP_MS);
    return null;
  }

  destroy() {
    clearTimeout(this.waiting);
    clearTimeout(this.fading);
    this.audio.pause();
    this.audio.removeEventListener("error", this.onError);
    this.audio.removeAttribute("src");
    this.song = this.loaded = null;
  }
}

import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { Hearing } from "../../static/songmap/hearing.js";

class Sound extends EventTarget {
  paused = true;
  volume = 1;
  src = "";
  currentTime = 0;
  error = null;
  play() {
    this.paused = false;
    return Promise.resolve();
  }
  pause() {
    this.paused = true;
  }
  removeAttribute() {
    this.src = "";
  }
}

const SONGS = ["a", "b"].map((id) => ({ id, sound: `/${id}.ogg`, start: 7 }));

function heard(act) {
  mock.timers.enable({ apis: ["setTimeout", "setInterval"] });
  try {
    const [sound, failed] = [new Sound(), []];
    const hearing = new Hearing(sound, (song, error) => failed.push([song.id, error?.message]));
    const wait = (milliseconds) => {
      for (let k = 0; k < milliseconds; k++) mock.timers.tick(1); // a timer set by a timer counts from the end of a tick
    };
    act({ sound, hearing, failed, wait });
  } finally {
    mock.timers.reset();
  }
}

test("a song sounds from its start after a moment, softly", () =>
  heard(({ sound, hearing, wait }) => {
    hearing.want(SONGS[0]);
    wait(119);
    assert.ok(sound.paused);
    wait(2);
    assert.deepEqual([sound.paused, sound.src, sound.currentTime, sound.volume], [false, "/a.ogg", 7, 0]);
    wait(80);
    assert.ok(sound.volume > 0.2 && sound.volume < 0.8);
    wait(200);
    assert.equal(sound.volume, 1);
  }));

test("whoever only passes over a song hears nothing", () =>
  heard(({ sound, hearing, wait }) => {
    hearing.want(SONGS[0]);
    wait(60);
    hearing.want(null);
    wait(500);
    assert.equal(sound.src, "");
  }));

test("on leaving the sound fades and stops", () =>
  heard(({ sound, hearing, wait }) => {
    hearing.want(SONGS[0]);
    wait(500);
    hearing.want(null);
    wait(60);
    assert.ok(!sound.paused && sound.volume < 0.8);
    wait(200);
    assert.ok(sound.paused);
  }));

test("the next song takes the place of the one before, a song without sound none", () =>
  heard(({ sound, hearing, wait }) => {
    hearing.want(SONGS[0]);
    wait(500);
    hearing.want(SONGS[1]);
    wait(500);
    assert.deepEqual([sound.src, sound.paused, sound.volume], ["/b.ogg", false, 1]);
    hearing.want({ id: "mine", sound: null, start: 0 });
    wait(500);
    assert.ok(sound.paused);
  }));

test("a sound that cannot be played is told once", () =>
  heard(({ sound, hearing, failed, wait }) => {
    hearing.want(SONGS[0]);
    wait(150);
    sound.error = { message: "broken" };
    sound.dispatchEvent(new Event("error"));
    sound.dispatchEvent(new Event("error"));
    wait(500);
    assert.deepEqual(failed, [["a", "broken"]]);
    assert.ok(sound.paused);
  }));

// The way in from Streamlit. An element that appears above the player makes Streamlit mount it anew: the living player moves into the new place.

import { Player } from "./player.js";
import { canDraw, practise } from "./scene.js";

const LEAVE_MS = 1000; // how long a player outlives its place on the page

const parked = new Map(); // key -> Player
let prepared = false;
const tested = (window.__trajectoryPlayers ??= new Map());

export function mount(component) {
  const { key } = component.data.meta;
  const place = component.parentElement.querySelector(".trajectory-player");
  const player = parked.get(key) ?? settle(key, new Player(place));
  if (place !== player.box) place.replaceWith(player.box);
  player.update(component);
  return () => setTimeout(() => player.box.isConnected || leave(key, player), LEAVE_MS);
}

/** While the browser has nothing else to do, it takes in what the first scene needs. */
export function prepare({ plotly }) {
  if (prepared) return;
  prepared = true;
  const idle = window.requestIdleCallback ?? setTimeout;
  requestAnimationFrame(() => idle(() => parked.size || !canDraw() || practise(plotly)));
}

function settle(key, player) {
  parked.set(key, player);
  tested.set(key, windowOn(player));
  return player;
}

function leave(key, player) {
  if (parked.get(key) !== player) return;
  player.destroy();
  parked.delete(key);
  tested.delete(key);
}

/** What browser tests may look at. */
function windowOn(player) {
  const stage = (scene) => player.stages[scene];
  return {
    audio: player.transport.audio,
    stats: player.statistics,
    time: () => player.transport.time(),
    drawn: () => player.time, // the moment that the last frame showed
    playing: () => player.transport.playing,
    loop: () => player.transport.loop,
    camera: (scene = 0) => stage(scene).scene?.camera(),
    head: (scene = 0) => stage(scene).overlay.head,
    points: (scene = 0) => player.scenes[scene].path,
    project: (time, scene = 0) => stage(scene).project(time),
    shown: () => player.stages.length > 0 && player.stages.every((one) => Boolean(one.scene?.matrix())),
    ready: () => player.stages.every((one) => Boolean(one.overlay.head)),
    matrices: (scene = 0) => [stage(scene).scene.matrix(), stage(scene).scene.publicMatrix()].map((matrix) => [...matrix]),
  };
}

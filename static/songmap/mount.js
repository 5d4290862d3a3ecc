// The way in from Streamlit. An element that appears above the map makes Streamlit mount it anew: the living map moves into the new place.

import { Songmap } from "./songmap.js";

const LEAVE_MS = 1000; // how long a map outlives its place on the page

const parked = new Map(); // key -> Songmap
const tested = (window.__trajectorySongmaps ??= new Map());

export function mount(component) {
  const { key } = component.data.meta;
  const place = component.parentElement.querySelector(".trajectory-songmap");
  const map = parked.get(key) ?? settle(key, new Songmap(place));
  if (place !== map.box) place.replaceWith(map.box);
  map.update(component);
  return () => setTimeout(() => map.box.isConnected || leave(key, map), LEAVE_MS);
}

function settle(key, map) {
  parked.set(key, map);
  tested.set(key, windowOn(map));
  return map;
}

function leave(key, map) {
  if (parked.get(key) !== map) return;
  map.destroy();
  parked.delete(key);
  tested.delete(key);
}

/** What browser tests may look at. */
function windowOn(map) {
  return {
    audio: map.hearing.audio,
    drawn: () => map.drawn, // frames so far
    settled: () => map.drawn > 0 && !map.passage && !map.frameRequest,
    view: () => ({ ...map.view }),
    pointed: () => map.land.songs[map.pointed]?.id ?? null,
    lassoed: () => [...map.lassoed],
    names: () => map.names.map(({ i }) => map.land.songs[i].id),
    at: (id) => Array.from(map.screen.slice(3 * map.numbers.get(id), 3 * map.numbers.get(id) + 2)),
  };
}

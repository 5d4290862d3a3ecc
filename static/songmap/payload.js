// What Python sends (one Arrow table of songs) -> what the map draws.

import { framed } from "./maths.js";

const rgbOf = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));

/** Songs with their words, and their points around the middle of the map. */
export function readSongs(data) {
  const column = (name) => Array.from(data.songs.getChild(name));
  const [id, label, note, sound, start, own] = ["id", "label", "note", "sound", "start", "own"].map(column);
  const songs = id.map((_, i) => ({ id: id[i], label: label[i], note: note[i], sound: sound[i], start: start[i], own: Boolean(own[i]) }));
  return { songs, colours: column("colour").map(rgbOf), flat: data.meta.flat, ...framed(column("x"), column("y"), column("z")) };
}

// Which key means what on the map. No DOM beyond the event that it is given.

const PLAIN = { Enter: ["open"], h: ["hear"], Escape: ["escape"], "+": ["zoom", 1.25], "=": ["zoom", 1.25], "-": ["zoom", 0.8], 0: ["home"], Home: ["home"] };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The map's action for a key and what it is done with, or null where the key is not the map's. */
export function actionFor({ key, ctrlKey, metaKey, altKey, shiftKey }) {
  if (ctrlKey || metaKey || altKey) return null;
  if (Object.hasOwn(ARROWS, key)) return [shiftKey ? "turn" : "step", ARROWS[key]];
  const name = key.length === 1 ? key.toLowerCase() : key;
  return Object.hasOwn(PLAIN, name) ? PLAIN[name] : null;
}

// Which key means what, and when a key belongs to something else on the page. No DOM beyond the event that it is given.

export const KEYS = [
  ["Space", "play or pause"],
  ["← →", "5 seconds back or on"],
  [", .", "one point back or on"],
  ["N", "on to where this moment returns"],
  ["L", "loop: set A, set B, clear"],
  ["O", "orbit by itself"],
  ["+ −", "nearer, farther (a scene in focus)"],
  ["Shift + arrows", "turn and tilt (a scene in focus)"],
  ["Drag · right drag · wheel", "orbit · pan · zoom (wheel: after a click, or with Ctrl)"],
  ["Click the path", "hear that moment"],
  ["Click beside it, Shift + click", "pick that point of space"],
  ["?", "this list"],
];

const PLAIN = { " ": "toggle", ArrowLeft: "back", ArrowRight: "on", ",": "stepBack", ".": "stepOn", l: "loop", n: "returns", o: "orbit", "?": "help" };
const IN_SCENE = { "+": "nearer", "=": "nearer", "-": "farther" };
const TURNS = { ArrowLeft: "turnLeft", ArrowRight: "turnRight", ArrowUp: "tiltUp", ArrowDown: "tiltDown" };
const OWN_ROLES = new Set(["slider", "tab", "radio", "option", "menuitem", "combobox", "textbox", "spinbutton", "listbox", "grid", "gridcell"]);
const pressed = (element) => ["BUTTON", "A", "SUMMARY"].includes(element?.tagName) || (element?.tagName === "INPUT" && ["checkbox", "button", "submit"].includes(element.type));

/** Whether an element wants its keys for itself; the player's own scrubber lets them through. */
export function wantsKeys(element) {
  if (!element || element.dataset?.keys === "player") return false;
  if (pressed(element)) return false;
  if (["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName) || element.isContentEditable) return true;
  return OWN_ROLES.has(element.role ?? element.getAttribute?.("role"));
}

/** The player's action for a key, or null where the key is not the player's. */
export function actionFor({ key, ctrlKey, metaKey, altKey, shiftKey }, element, inScene = false) {
  if (ctrlKey || metaKey || altKey || wantsKeys(element)) return null;
  if (inScene && shiftKey && key in TURNS) return TURNS[key];
  if (inScene && key in IN_SCENE) return IN_SCENE[key];
  if (shiftKey && key !== "?") return null;
  if (key === " " && pressed(element)) return null;
  return PLAIN[key.length === 1 ? key.toLowerCase() : key] ?? null;
}

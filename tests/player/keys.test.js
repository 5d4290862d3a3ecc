import assert from "node:assert/strict";
import { test } from "node:test";
import { actionFor, wantsKeys } from "../../static/player/keys.js";

const press = (key, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });
const element = (tagName, more = {}) => ({ tagName, getAttribute: (name) => more[name] ?? null, ...more });
const BODY = element("BODY");

test("each key has its action", () => {
  const expected = { " ": "toggle", ArrowLeft: "back", ArrowRight: "on", ",": "stepBack", ".": "stepOn", l: "loop", L: "loop", n: "returns", o: "orbit" };
  for (const [key, action] of Object.entries(expected)) assert.equal(actionFor(press(key), BODY), action);
  assert.equal(actionFor(press("?", { shiftKey: true }), BODY), "help");
});

test("Streamlit's own keys and unknown ones are left alone", () => {
  for (const key of ["r", "R", "c", "C", "Enter", "Tab", "a"]) assert.equal(actionFor(press(key), BODY), null);
});

test("keys with Ctrl, Alt or Meta belong to the browser", () => {
  for (const name of ["ctrlKey", "altKey", "metaKey"]) assert.equal(actionFor(press("l", { [name]: true }), BODY), null);
});

test("whoever types or moves a slider keeps the keys", () => {
  for (const tag of ["INPUT", "TEXTAREA", "SELECT"]) assert.equal(actionFor(press(" "), element(tag)), null);
  assert.equal(actionFor(press("l"), element("DIV", { isContentEditable: true })), null);
  assert.equal(actionFor(press("ArrowLeft"), element("DIV", { role: "slider" })), null);
});

test("the player's own scrubber lets its keys through", () => {
  assert.equal(wantsKeys(element("INPUT", { dataset: { keys: "player" } })), false);
});

test("Space presses the button that has the focus", () => {
  assert.equal(actionFor(press(" "), element("BUTTON")), null);
  assert.equal(actionFor(press("ArrowLeft"), element("BUTTON")), "back");
  assert.equal(actionFor(press(" "), element("INPUT", { type: "checkbox" })), null);
  assert.equal(actionFor(press("o"), element("INPUT", { type: "checkbox" })), "orbit");
});

test("a scene in focus is turned and zoomed by keys, the page is not", () => {
  assert.equal(actionFor(press("ArrowLeft", { shiftKey: true }), BODY, true), "turnLeft");
  assert.equal(actionFor(press("+"), BODY, true), "nearer");
  assert.equal(actionFor(press("ArrowLeft", { shiftKey: true }), BODY), null);
  assert.equal(actionFor(press("+"), BODY), null);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { actionFor } from "../../static/songmap/keys.js";

const press = (key, more = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more });

test("each key has its action", () => {
  const expected = { ArrowLeft: ["step", [-1, 0]], ArrowDown: ["step", [0, 1]], Enter: ["open"], h: ["hear"], H: ["hear"], Escape: ["escape"], Home: ["home"], "+": ["zoom", 1.25] };
  for (const [key, action] of Object.entries(expected)) assert.deepEqual(actionFor(press(key)), action);
  assert.deepEqual(actionFor(press("ArrowUp", { shiftKey: true })), ["turn", [0, -1]]);
});

test("the browser's and Streamlit's keys are left alone", () => {
  for (const key of ["Tab", "r", "c", " ", "toString"]) assert.equal(actionFor(press(key)), null);
  assert.equal(actionFor(press("h", { ctrlKey: true })), null);
});

// The way in from a page that stands alone: the data lies in the page itself, and there is no Python to tell anything.

import { mount } from "./mount.js";

const ARRAYS = { f4: Float32Array, u1: Uint8Array };

function numbers([kind, text]) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new ARRAYS[kind](bytes.buffer);
}

/** Answers as the Arrow tables do that Python sends. */
const table = (columns) => ({ getChild: (name) => ({ toArray: () => numbers(columns[name]) }) });

const { meta, tables } = JSON.parse(document.getElementById("data").textContent);
const data = Object.fromEntries(Object.entries(tables).map(([name, columns]) => [name, table(columns)]));
mount({ data: { meta, ...data }, parentElement: document.body, setStateValue() {} });

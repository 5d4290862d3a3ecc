// Streamlit sends this file with every update, so it holds nothing but the way to its component in static/.
const loads = (window.__trajectoryCode ??= new Map()); // by address and version; every loader of the page looks here

async function load({ base, files, version }) {
  const at = (name) => new URL(base + name, location.origin).href;
  await Promise.all(files.map((name) => fetch(at(name), { cache: "no-cache" }))); // a browser that keeps older files asks for them anew
  return import(`${at("mount.js")}?v=${version}`);
}

export default async function (component) {
  const { code, ahead } = component.data.meta;
  const key = `${code.base} ${code.version}`;
  if (!loads.has(key)) loads.set(key, load(code));
  try {
    const part = await loads.get(key);
    return ahead ? part.prepare(ahead) : part.mount(component);
  } catch (error) {
    loads.delete(key);
    const place = component.parentElement.querySelector("[data-part]");
    place.textContent = `${place.dataset.part} could not be loaded from ${code.base}: is static serving on? Reload the page to try again.`;
    throw error;
  }
}

// Streamlit sends this file with every update, so it holds nothing but the way to its component in static/.
let loading = null;

async function load({ base, files, version }) {
  const at = (name) => new URL(base + name, location.origin).href;
  await Promise.all(files.map((name) => fetch(at(name), { cache: "no-cache" }))); // a browser that keeps older files asks for them anew
  return import(`${at("mount.js")}?v=${version}`);
}

export default async function (component) {
  const { code } = component.data.meta;
  loading ??= load(code);
  try {
    return (await loading).mount(component);
  } catch (error) {
    loading = null;
    const place = component.parentElement.querySelector("[data-part]");
    place.textContent = `${place.dataset.part} could not be loaded from ${code.base}: is static serving on? Reload the page to try again.`;
    throw error;
  }
}

// The words around the map: what is under the pointer, the legend, the buttons, messages. Titles are strangers' words: text, never markup.

const AWAY = 12; // pixels between a ring and the card

export class Words {
  constructor(box, actions) {
    this.find = (selector) => box.querySelector(selector);
    this.box = box;
    this.card = this.find(".card");
    this.listeners = Object.entries(actions).map(([name, action]) => [this.find(`button.${name}`), action]);
    for (const [button, action] of this.listeners) button.addEventListener("click", action);
  }

  describe({ colour_title: title, legend }, { songs, flat }) {
    const own = songs.some((song) => song.own);
    this.find(".empty").hidden = songs.length > 0;
    this.find(".legend").hidden = !legend.length && !own;
    this.find(".legend .title").textContent = title;
    const items = legend.map(([name, colour]) => legendItem(name, colour));
    this.find(".legend ul").replaceChildren(...items, ...(own ? [legendItem("your own", null)] : []));
    for (const name of ["lasso", "home"]) this.find(`button.${name}`).disabled = !songs.length;
    this.find("button.hear").disabled = !songs.some((song) => song.sound);
    const turning = flat ? "" : "; Shift and arrows turn it";
    const count = `${songs.length} ${songs.length === 1 ? "song" : "songs"}`;
    this.find(".map").setAttribute("aria-label", `Map of ${count}: arrows go to the next one in a direction, Enter opens it, H plays it${turning}, plus and minus zoom`);
    this.accent = getComputedStyle(this.box).getPropertyValue("--accent").trim();
  }

  /** What is pointed at; read out where keys led to it. */
  showCard(song, byKeys) {
    this.card.hidden = !song;
    const [label, note] = this.card.children;
    [label.textContent, note.textContent] = [song?.label ?? "", song?.note ?? ""];
    note.hidden = !song?.note;
    this.find(".spoken").textContent = song && byKeys ? [song.label, song.note].filter(Boolean).join(". ") : "";
    this.size = song && [this.card.offsetWidth, this.card.offsetHeight];
  }

  placeCard({ x, y, radius }, { width, height }) {
    const [wide, high] = this.size;
    const beside = radius + AWAY;
    const left = x + beside + wide < width - 4 ? x + beside : Math.max(4, x - beside - wide);
    const covers = left < x && left + wide > x;
    const top = covers ? (y + beside + high < height - 4 ? y + beside : y - beside - high) : y - high / 2;
    this.card.style.transform = `translate(${Math.round(left)}px, ${Math.round(Math.min(Math.max(4, top), height - high - 4))}px)`;
  }

  showChosen(count) {
    this.find("button.clear").hidden = !count;
    this.find("button.clear").textContent = `${count} chosen ×`;
    this.find("button.clear").setAttribute("aria-label", `Clear the ${count} chosen`);
  }

  press(name, on) {
    this.find(`button.${name}`).setAttribute("aria-pressed", String(on));
  }

  showMessage(text) {
    this.find(".message").hidden = !text;
    this.find(".message").textContent = text;
  }

  destroy() {
    for (const [button, action] of this.listeners) button.removeEventListener("click", action);
  }
}

function legendItem(name, colour) {
  const item = document.createElement("li");
  const sample = document.createElement("i");
  if (colour) sample.style.background = colour;
  else sample.className = "own";
  item.append(sample, name);
  return item;
}

// Pointing at the map with mouse, pen and fingers: hovering, a click that is no drag, dragging, a lasso, two fingers, a wheel.

const CLICK_PIXELS = 4;
const WHEEL = 0.0016; // of a zoom for each pixel of the wheel
const LINE_PIXELS = 18; // of a wheel that counts in lines

/**
 * Tells `act` of hover(x, y), leave(), click(x, y, byTouch), grab(), drag(right, down, slides), zoom(factor, x, y),
 * lasso(line), lassoed(line), dropped() and home(x, y); asks it wantsLasso() and inUse(). Returns what undoes it.
 */
export function watch(host, act) {
  const down = new Map(); // pointer -> its last place
  let [start, doing, line] = [null, null, []];
  const place = (event) => {
    const { left, top } = host.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const letGo = () => {
    if (doing) act.dropped();
    [start, doing, line] = [null, null, []];
  };

  function begin(event) {
    if (event.shiftKey || (act.wantsLasso() && start.button === 0)) doing = "lasso";
    else doing = start.button === 2 ? "slide" : "turn";
    act.grab(doing);
  }

  function dragged(event, here, before) {
    if (!doing && Math.hypot(here[0] - start.at[0], here[1] - start.at[1]) < CLICK_PIXELS) return;
    if (!doing) begin(event);
    if (doing === "lasso") {
      if (!line.length) line.push(start.at);
      line.push(here);
      act.lasso(line);
    } else act.drag(here[0] - before[0], here[1] - before[1], doing === "slide");
  }

  function pinched(event, here, before) {
    const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    const spread = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
    act.drag((here[0] - before[0]) / 2, (here[1] - before[1]) / 2, true);
    act.zoom(spread(here) / spread(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  }

  const heard = {
    pointerdown(event) {
      if (event.button !== 0 && event.button !== 2) return;
      host.setPointerCapture(event.pointerId);
      down.set(event.pointerId, place(event));
      if (down.size === 1) start = { at: place(event), button: event.button };
      else {
        letGo();
        doing = "pinch";
        act.grab(doing);
      }
    },
    pointermove(event) {
      const here = place(event);
      const before = down.get(event.pointerId);
      if (!before) return void (event.pointerType === "touch" || act.hover(...here));
      down.set(event.pointerId, here);
      if (doing === "pinch") {
        if (down.size === 2) pinched(event, here, before);
      } else if (start) dragged(event, here, before);
    },
    pointerup(event) {
      if (!down.delete(event.pointerId)) return;
      if (!doing && start?.button === 0) act.click(...start.at, event.pointerType === "touch");
      if (doing === "lasso") act.lassoed(line);
      if (!down.size || doing !== "pinch") letGo();
    },
    pointercancel(event) {
      down.delete(event.pointerId);
      letGo();
    },
    pointerleave: (event) => event.pointerType === "touch" || down.size || act.leave(),
    contextmenu: (event) => event.preventDefault(),
    dblclick: (event) => act.home(...place(event)),
    wheel(event) {
      if (!act.inUse() && !event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      const pixels = event.deltaY * (event.deltaMode === 1 ? LINE_PIXELS : 1) * (event.ctrlKey ? 4 : 1); // a pinch on a touchpad comes as Ctrl and small steps
      act.zoom(Math.exp(-WHEEL * Math.max(-250, Math.min(250, pixels))), ...place(event));
    },
  };
  for (const [name, listener] of Object.entries(heard)) host.addEventListener(name, listener, { passive: false });
  return {
    cancel: () => doing === "lasso" && (letGo(), true),
    undo: () => Object.entries(heard).forEach(([name, listener]) => host.removeEventListener(name, listener)),
  };
}

// Pointing at a scene: hovering, a click that is no drag, and a wheel that scrolls the page until the scene is in use.

const CLICK_PIXELS = 4;

/** Tells `act` of hover(x, y) (nulls on leaving), click(x, y, shift), lead() and drag(on); returns what undoes it. */
export function watch(host, act) {
  let down = null;
  const place = (event) => {
    const { left, top } = host.getBoundingClientRect();
    return [event.clientX - left, event.clientY - top];
  };
  const heard = {
    pointerdown(event) {
      down = event.button === 0 ? place(event) : null;
      act.lead();
      act.drag(true);
      act.hover(null);
      host.closest(".scene").focus({ preventScroll: true });
    },
    pointermove(event) {
      if (event.buttons) return;
      const [x, y] = place(event);
      act.hover(x, y);
    },
    pointerleave: () => act.hover(null),
    wheel(event) {
      const inUse = event.ctrlKey || event.metaKey || host.closest(".scene").matches(":focus-within");
      if (inUse) act.lead();
      else event.stopPropagation();
    },
  };
  const released = (event) => {
    act.drag(false);
    if (!down) return;
    const [[x, y], [fromX, fromY]] = [place(event), down];
    down = null;
    if (Math.hypot(x - fromX, y - fromY) < CLICK_PIXELS) act.click(x, y, event.shiftKey);
  };
  for (const [name, listener] of Object.entries(heard)) host.addEventListener(name, listener, { capture: true, passive: true });
  window.addEventListener("pointerup", released, true);
  return () => {
    for (const [name, listener] of Object.entries(heard)) host.removeEventListener(name, listener, { capture: true });
    window.removeEventListener("pointerup", released, true);
  };
}

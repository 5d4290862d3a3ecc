// What the player's own frames cost: script milliseconds and frames a second over the last ten seconds or so. No DOM.

const KEPT = 600;

export const percentile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))] ?? 0;

export class Statistics {
  constructor() {
    this.clear();
  }

  clear() {
    [this.costs, this.stamps, this.pending] = [[], [], 0];
  }

  /** Work done for the coming frame outside the loop: what Plotly's redraws set off. */
  add(milliseconds) {
    this.pending += milliseconds;
  }

  frame(stamp, milliseconds) {
    this.costs.push(milliseconds + this.pending);
    this.stamps.push(stamp);
    this.pending = 0;
    if (this.costs.length > KEPT) [this.costs, this.stamps] = [this.costs.slice(-KEPT / 2), this.stamps.slice(-KEPT / 2)];
  }

  summary() {
    const seconds = (this.stamps.at(-1) - this.stamps[0]) / 1000;
    return { frames: this.costs.length, fps: (this.stamps.length - 1) / seconds, median: percentile(this.costs, 0.5), p95: percentile(this.costs, 0.95), worst: percentile(this.costs, 1) };
  }
}

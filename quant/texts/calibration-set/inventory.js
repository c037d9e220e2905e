"use strict";

/** Keeps counts of items and tells listeners when one runs low. */
class Inventory {
  constructor(limits = {}) {
    this.counts = new Map();
    this.limits = limits;
    this.listeners = [];
  }

  onLow(listener) {
    this.listeners.push(listener);
    return () => {
      this.listeners = this.listeners.filter((known) => known !== listener);
    };
  }

  add(name, amount = 1) {
    if (!Number.isInteger(amount) || amount < 1) {
      throw new RangeError(`amount must be a positive integer, got ${amount}`);
    }
    this.counts.set(name, (this.counts.get(name) ?? 0) + amount);
    return this.counts.get(name);
  }

  remove(name, amount = 1) {
    const left = (this.counts.get(name) ?? 0) - amount;
    if (left < 0) {
      throw new Error(`only ${this.counts.get(name) ?? 0} of ${name} left`);
    }
    this.counts.set(name, left);
    if (left <= (this.limits[name] ?? 0)) {
      this.listeners.forEach((listener) => listener(name, left));
    }
    return left;
  }

  toJSON() {
    return Object.fromEntries([...this.counts].sort(([a], [b]) => a.localeCompare(b)));
  }
}

async function load(url, { retries = 3, delay = 200 } = {}) {
  for (let attempt = 0; attempt < retries; attempt += 1) {
    const response = await fetch(url);
    if (response.ok) {
      return Object.assign(new Inventory(), await response.json());
    }
    await new Promise((resolve) => setTimeout(resolve, delay * 2 ** attempt));
  }
  throw new Error(`no answer from ${url}`);
}

module.exports = { Inventory, load };

// Small helpers. Texts go into the page as text, never as markup.

export const find = (id) => document.getElementById(id);

export function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Changes a text only if it is another one: selections stay, and nothing is read out twice. */
export function write(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/**
 * Brings the children of an element in line with items. Elements whose key stays are kept, and with them focus, selection and the place
 * that was scrolled to.
 */
export function keep(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const name = String(key(item));
    const child = old.get(name) ?? create(item);
    child.dataset.key = name;
    old.delete(name);
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
    update(child, item);
  });
  for (const child of old.values()) child.remove();
}

/** A table with these columns: a name, a class ("wide" is left out on phones), and how an item's cell is filled. */
export function fillTable(table, columns, items, key) {
  if (!table.tHead) {
    const row = table.createTHead().insertRow();
    for (const [name, style] of columns) {
      const head = make("th", style, name);
      head.scope = "col";
      row.append(head);
    }
    table.createTBody();
  }
  const create = () => {
    const row = make("tr");
    columns.forEach(([, style], i) => {
      const cell = make(i ? "td" : "th", style);
      if (!i) cell.scope = "row";
      row.append(cell);
    });
    return row;
  };
  keep(table.tBodies[0], items, key, create, (row, item) => columns.forEach(([, , fill], i) => fill(row.cells[i], item)));
}

export const number = (value) => Number(value).toLocaleString("en", { maximumFractionDigits: Math.abs(value) < 10 ? 1 : 0 });

export function bytes(count) {
  return count < 1073741824 ? `${number(count / 1048576)} MiB` : `${(count / 1073741824).toFixed(1)} GiB`;
}

/** A short time, such as a delay. */
export function delay(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 120000 ? `${number(ms / 1000)} s` : duration(ms);
}

/** A long time, such as since when a node runs. */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${seconds} s`;
}

export const clock = (ms, seconds = true) =>
  new Date(ms).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", ...(seconds && { second: "2-digit" }) });

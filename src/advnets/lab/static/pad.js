// Drag over the picture: (u, v) from the upper left corner, each from value.low to value.high.
const put = (u, v) => {
  const dot = element.querySelector(".dot"), { low, high } = props.value;
  dot.style.left = `${100 * (u - low) / (high - low)}%`;
  dot.style.top = `${100 * (v - low) / (high - low)}%`;
};
const place = () => put(props.value.u, props.value.v);
let waiting = null, last = 0;
const tell = (u, v) => { // the newest place, at most every 100 ms
  clearTimeout(waiting);
  waiting = setTimeout(() => { last = Date.now(); trigger("drag", { u, v }); }, Math.max(0, 100 - (Date.now() - last)));
};
const move = (event) => {
  const box = element.querySelector(".pad").getBoundingClientRect(), { low, high } = props.value;
  const share = (at, from, size) => Math.min(1, Math.max(0, (at - from) / size));
  const u = low + (high - low) * share(event.clientX, box.left, box.width);
  const v = low + (high - low) * share(event.clientY, box.top, box.height);
  put(u, v);
  tell(u, v);
};
let dragging = false;
element.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".pad")) return;
  dragging = true;
  event.preventDefault();
  move(event);
});
window.addEventListener("pointermove", (event) => { if (dragging) move(event); });
window.addEventListener("pointerup", () => { dragging = false; });
watch("value", place);
place();

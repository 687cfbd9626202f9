// Draw with a finger or a mouse; when it is lifted, tell how much of every pixel is covered.
let drawing = false, from = null;
const canvas = () => element.querySelector("canvas");
const at = (event) => {
  const box = canvas().getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * canvas().width, (event.clientY - box.top) / box.height * canvas().height];
};
const stroke = (event) => {
  const pen = canvas().getContext("2d"), to = at(event);
  pen.strokeStyle = props.value.ink;
  pen.lineCap = pen.lineJoin = "round";
  pen.lineWidth = Math.max(canvas().width / 11, canvas().height / 11, 14);
  pen.beginPath();
  pen.moveTo(...(from || to));
  pen.lineTo(...to);
  pen.stroke();
  from = to;
};
const tell = () => {
  const { width, height } = props.value, small = document.createElement("canvas");
  [small.width, small.height] = [width, height];
  const pen = small.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(canvas(), 0, 0, width, height);
  const seen = pen.getImageData(0, 0, width, height).data;
  trigger("drawn", { pixels: Array.from({ length: width * height }, (_, pixel) => seen[4 * pixel + 3] / 255) });
};
element.addEventListener("pointerdown", (event) => {
  if (!event.target.closest("canvas")) return;
  event.preventDefault();
  [drawing, from] = [true, null];
  stroke(event);
});
window.addEventListener("pointermove", (event) => { if (drawing) stroke(event); });
window.addEventListener("pointerup", () => { if (drawing) tell(); drawing = false; });
element.addEventListener("click", (event) => {
  if (!event.target.closest(".clear")) return;
  canvas().getContext("2d").clearRect(0, 0, canvas().width, canvas().height);
  tell();
});

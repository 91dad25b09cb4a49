"use strict";
// What sphinx-gallery and docutils write is amended, so that screen readers can tell it: the links of thumbnails get a
// name, and a list of citations is no list, whose items would have to be others.
addEventListener("DOMContentLoaded", () => {
  for (const thumbnail of document.querySelectorAll(".sphx-glr-thumbcontainer")) {
    const title = thumbnail.querySelector(".sphx-glr-thumbnail-title")?.textContent ?? "";
    for (const link of thumbnail.querySelectorAll("a")) link.setAttribute("aria-label", title);
  }
  for (const list of document.querySelectorAll(".citation-list")) list.removeAttribute("role");
});

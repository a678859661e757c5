"use strict";

// Kept out of the page because its policy allows no script inside it.
window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: new URL("openapi.json", document.baseURI).href,
    dom_id: "#api",
    deepLinking: true,
    // The bundle would else ask a host on the internet whether the document is valid.
    validatorUrl: null,
    persistAuthorization: false,
    tryItOutEnabled: true,
  });
});

"""Reading over HTTP: `mnist serve`, and the page that it shows."""

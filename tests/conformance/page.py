"""A real Chromium opens the page.      python page.py URL CHROMIUM CHROMEDRIVER AXE FOLDER

URL is that of the server, AXE the script of axe-core, FOLDER where screenshots go. Exits 1 with a traceback where the page does not do what it is for: a
sample is classified by both models, numbers move under load, an error is a sentence, nothing is wider than a phone, and axe finds no violation in either
theme. Run by tests/conformance."""

import os
import sys
import tempfile
import time

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from browser import PATIENCE, start

URL, CHROMIUM, DRIVER, AXE, FOLDER = sys.argv[1:]
browser = start(CHROMIUM, DRIVER)


def one(selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def every(selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def until(what, condition):
    return WebDriverWait(browser, PATIENCE, ignored_exceptions=[Exception]).until(lambda _: condition(), f"never: {what}")


def tile(name):
    """What a tile says, without its unit."""
    for pair in every("#tiles div"):
        if pair.find_element(By.TAG_NAME, "dt").text == name:
            return pair.find_element(By.TAG_NAME, "dd").text.split(" ")[0]
    raise AssertionError(name)


def look(theme, width, height):
    """The page in a theme and at a width, with a screenshot; nothing scrolls sideways, and axe has nothing to say."""
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": theme}]})
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    time.sleep(0.5)  # transitions, and a chart of the new width
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, f"{theme}, {width} px: the page is {wide} px wide"
    image = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})["data"]
    with open(os.path.join(FOLDER, f"{theme}-{width}.png"), "wb") as file:
        file.write(__import__("base64").b64decode(image))
    # through the debugger: the page's own policy lets no script in
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": open(AXE, encoding="utf-8").read()})
    found = browser.execute_async_script("const done = arguments[arguments.length - 1]; axe.run().then(done, (error) => done({error: String(error)}))")
    assert "error" not in found, found["error"]
    told = [(one["id"], one["help"], [node["target"] for node in one["nodes"]][:4]) for one in found["violations"]]
    assert not told, f"{theme}, {width} px: {told}"
    assert len(found["passes"]) > 20, len(found["passes"])


def answered(models):
    cards = [card.find_element(By.TAG_NAME, "h3").text for card in every(".answer")]
    return cards == models


try:
    browser.get(URL)
    until("the page says what is served", lambda: "convnext_atto" in one("#serving").text and one("#model").get_attribute("value") == "convnext_atto")
    assert len(every("#samples button")) == 10

    # a sample, by the keyboard alone
    first = one("#samples button")
    browser.execute_script("arguments[0].focus()", first)
    first.send_keys(Keys.ENTER)
    until("both answer", lambda: answered(["convnext_atto", "swin_atto"]))
    for card in every(".answer"):
        labels = [row.text for row in card.find_elements(By.CSS_SELECTOR, ".label span:first-child")]
        assert labels[0] == "Ankle boot" and len(labels) == 5, labels
        widths = [bar.size["width"] for bar in card.find_elements(By.CSS_SELECTOR, ".bar div")]
        assert widths[0] > widths[1] >= 0, widths
        stages = card.find_element(By.CSS_SELECTOR, ".stages").text
        assert all(stage in stages for stage in ("decode", "transform", "queue", "compute")), stages

    # the other model has no baseline and answers alone
    one("#model").send_keys("swin")
    every("#samples button")[1].click()
    until("it answers alone", lambda: answered(["swin_atto"]) and "Bag" in one(".answer").text)
    one("#model").send_keys("convnext")

    # a file that is no image is a sentence
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(b"This is no image.\n")
        file.flush()
        one("#file").send_keys(file.name)
        until("an error", lambda: one("#error").is_displayed() and one("#error").text.startswith("The server refuses it:") and one("#error").text.endswith("."))
        assert not every(".answer")
    every("#samples button")[7].click()
    until("the error goes", lambda: answered(["convnext_atto", "swin_atto"]) and not one("#error").is_displayed())

    # what was measured while nobody asked
    until("the ratio", lambda: len(every("#measured tbody tr")) >= 1 and "×" in one("#measured tbody td:last-child").text)

    # numbers move under load
    one("#load").click()
    until("both families work", lambda: float(tile("ConvNeXt").replace(",", "")) > 1 and float(tile("Swin").replace(",", "")) > 1)
    until("latency is told", lambda: float(tile("Latency, median").replace(",", "")) > 0 and float(tile("Devices busy")) > 0)
    until("the load ends", lambda: "and 0 refusals." in one("#loading").text)
    points = one("#throughput polyline.convnext").get_attribute("points").split()
    assert len(points) >= 5, points
    assert float(one("#stages tbody td:nth-child(5)").text) > 0, one("#stages").text

    for theme in ("light", "dark"):
        for width, height in ((1200, 1400), (360, 740)):
            look(theme, width, height)

    # nothing was refused by the page's own policy, and nothing else went wrong
    complaints = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE" and "/classify" not in entry["message"]]
    assert not complaints, complaints
finally:
    browser.quit()

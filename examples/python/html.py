import json
from urllib.request import Request, urlopen

page = """<h1>Good morning!</h1>
<p>The <a href="/map">train station</a> is open. Run <code>make</code> first.</p>"""
request = {"q": page, "source": "en", "target": "fr", "format": "html"}
headers = {"Content-Type": "application/json"}
body = json.dumps(request).encode()
with urlopen(Request("http://127.0.0.1:8080/translate", body, headers)) as answer:
    print(json.load(answer)["translatedText"])

"""How the page looks: letters of the reader's own machine, colours of the site, nothing from anywhere else."""

FONT = ("ui-sans-serif", "system-ui", "sans-serif")
FONT_MONO = ("ui-monospace", "monospace")
CSS = """
.gradio-container { max-width: 1280px !important; width: 100%; margin: 0 auto !important; }
.gradio-container .html-container { padding: 0; }
footer { display: none !important; }
.brand { display: flex; align-items: center; gap: .7rem; padding: .3rem 0 .1rem; }
.brand svg { width: 34px; height: 34px; flex: none; }
.brand h1 { font-size: 1.35rem; font-weight: 650; margin: 0; letter-spacing: -.01em; }
.brand p { margin: 0; color: var(--body-text-color-subdued); font-size: .88rem; }
.model { display: flex; flex-direction: column; gap: .15rem; font-size: .82rem; color: var(--body-text-color-subdued); }
.model .native { color: #b45309; }
.dark .model .native { color: #f0a952; }
.empty { border: 1px dashed var(--border-color-primary); border-radius: 12px; min-height: 380px; display: flex;
  flex-direction: column; align-items: center; justify-content: center; color: var(--body-text-color-subdued); }
.empty p { margin: .15rem 0; }
.problem, .note { border-radius: 10px; padding: .65rem .9rem; margin: .1rem 0 .4rem; font-size: .92rem;
  overflow-wrap: anywhere; }
.problem { background: #fdecea; color: #86181d; border: 1px solid #f5c2c0; }
.dark .problem { background: #3a1719; color: #ffb4ae; border-color: #6b2a2c; }
.note { background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
.note progress { width: 100%; height: .5rem; margin-top: .5rem; display: block; appearance: none; border: 0;
  border-radius: 99px; overflow: hidden; background: var(--border-color-primary); color: #f97316; }
.note progress::-webkit-progress-bar { background: var(--border-color-primary); }
.note progress::-webkit-progress-value { background: #f97316; transition: width .3s; }
.note progress::-moz-progress-bar { background: #f97316; }
.figures { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .5rem; }
.figures > div { background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary);
  border-radius: 10px; padding: .5rem .75rem; display: flex; flex-direction: column; min-width: 0; }
.figures .value { font-size: 1.12rem; font-weight: 620; font-variant-numeric: tabular-nums; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.figures .label { font-size: .74rem; color: var(--body-text-color-subdued); }
@media (max-width: 700px) { .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
.results section { margin-bottom: .9rem; }
.results h4 { font-size: .86rem; margin: .5rem 0 .1rem; color: var(--body-text-color-subdued); font-weight: 550;
  overflow-wrap: anywhere; }
.results .result { overflow-x: auto; }
.results p { margin: .1rem 0 .35rem; }
#pictures .preview { background: var(--background-fill-primary); }
#pictures .caption { color: var(--body-text-color-subdued); font-size: .82rem; font-weight: 450; }
#pictures .thumbnails:not(:has(> :nth-child(2))) { display: none; }
#files .wrap { font-size: .95rem; }
.results table { border: 0 !important; border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums;
  width: 100%; }
.results thead, .results tbody, .results tr { border: 0 !important; background: none !important; }
.results th { text-align: right; font-weight: 550; color: var(--body-text-color-subdued); }
.results td { text-align: right; }
.results th:first-child, .results td:first-child { text-align: left; }
.results th, .results td { padding: .26rem .6rem !important; border: 0 !important;
  border-bottom: 1px solid var(--border-color-primary) !important; background: none !important; }
"""
_DRAWING = (
    '<g fill="none" stroke="#ff8f1f" stroke-width="3" stroke-linecap="round" stroke-linejoin="round">'
    '<path d="M3 10V3h7M22 3h7v7M29 22v7h-7M10 29H3v-7"/></g><path fill="#76b900" d="M18 6 8 18h6l-2 8 12-13h-7z"/>'
)
ICON = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">{_DRAWING}</svg>'
BRAND = f"""
<div class="brand"><svg viewBox="0 0 32 32" aria-hidden="true">{_DRAWING}</svg>
<div><h1>tftrt_yolo</h1><p>Drop pictures or a video, and see what the model finds.</p></div></div>
"""

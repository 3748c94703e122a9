"""The page: Gradio's controls made from the declarations, and small scripts that follow the event stream."""

from webui.server.ui import gradio_import

gradio_import.quickly()

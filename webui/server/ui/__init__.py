"""The page: Gradio's controls made from the declarations, and small scripts that follow the event stream."""

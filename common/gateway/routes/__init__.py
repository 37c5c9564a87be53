"""One module a face, each with an APIRouter called `router`; app.py names them all."""

@echo off
rem Starts Gesso; the first start sets it up. Take the "rem" off a line below to use it.

rem Flags of every start (the list: webui-user.bat --help):
rem set COMMANDLINE_ARGS=--medvram --listen

rem The Python that makes the environment (3.11 to 3.14):
rem set PYTHON=C:\Program Files\Python312\python.exe

rem The folder of the environment; "-" installs into that Python itself:
rem set VENV_DIR=.venv

rem Another build of torch than the one chosen for this machine:
rem set TORCH_COMMAND=pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cu126

setlocal
set RUN=python
where py >nul 2>nul && set RUN=py -3
if defined PYTHON set RUN="%PYTHON:"=%"
%RUN% "%~dp0launch.py" %*
set CODE=%ERRORLEVEL%
if %CODE%==9009 echo Gesso needs Python 3.11 to 3.14: https://www.python.org/downloads/
if not %CODE%==0 pause
exit /b %CODE%

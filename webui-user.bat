@echo off
setlocal
rem Starts Gesso; the first start sets it up. Remove the "rem" from a line below to use it.

rem Flags for every start (for a list: webui-user.bat --help):
rem set COMMANDLINE_ARGS=--medvram --listen

rem The Python that creates the environment (3.11 to 3.14):
rem set PYTHON=C:\Program Files\Python312\python.exe

rem The folder of the environment; "-" installs into that Python itself:
rem set VENV_DIR=.venv

rem A different build of torch from the one chosen for this machine:
rem set TORCH_COMMAND=pip install torch==2.13.0 --index-url https://download.pytorch.org/whl/cu126

set FITS=import sys; sys.exit(not (3, 11) ^<= sys.version_info[:2] ^<= (3, 14))
set RUN=
if defined PYTHON set RUN="%PYTHON:"=%"
if not defined RUN if defined VENV_DIR call :try "%VENV_DIR%\Scripts\python.exe"
if not defined RUN call :try "%~dp0.venv\Scripts\python.exe"
for %%v in (3.13 3.12 3.11 3.14) do if not defined RUN call :try py -%%v
if not defined RUN call :try python
if not defined RUN echo Gesso needs Python 3.11 to 3.14: https://www.python.org/downloads/
if not defined RUN pause
if not defined RUN exit /b 1
%RUN% "%~dp0launch.py" %*
set CODE=%ERRORLEVEL%
if %CODE%==9009 echo There is no %RUN%. Gesso needs Python 3.11 to 3.14.
if not %CODE%==0 pause
exit /b %CODE%

:try
%* -c "%FITS%" >nul 2>nul
if %ERRORLEVEL%==0 set RUN=%*
exit /b 0
